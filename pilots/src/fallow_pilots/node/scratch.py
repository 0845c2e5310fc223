"""Where a pilot's scratch lies: on a disk of the node, on a file system that nodes share, or in memory, which it costs."""

from __future__ import annotations

from pathlib import Path

from fallow_pilots.node.checks import LEAST_MEMORY_MB
from fallow_pilots.node.finding import Finding

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
SHARED = frozenset({"nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "pvfs2", "wekafs", "panfs"})
MEMORY_SHARE = 4
"""Where the policy promises no disk, files may have one part in so many of a diskless pilot's memory."""


def kind(directory: Path, mounts: str) -> str:
    """`memory`, `shared` or `local`.

    Args:
        directory: The scratch directory, without symbolic links.
        mounts: `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
    """
    best, found = Path("/"), ""
    for line in mounts.splitlines():
        place, _, tail = line.partition(" - ")
        fields, types = place.split(" "), tail.split(" ")
        if len(fields) < 5:
            continue
        mounted = Path(fields[4].encode().decode("unicode_escape"))
        # A later mount hides an earlier one at the same place.
        if (directory == mounted or mounted in directory.parents) and len(mounted.parts) >= len(best.parts):
            best, found = mounted, types[0]
    return "memory" if found in IN_MEMORY else "shared" if found in SHARED else "local"


def shares(where: str, memory_mb: int, promised_mb: int, free_mb: int) -> tuple[int, int]:
    """What is left of the memory, and the disk space that the slot offers; both in MB.

    Args:
        where: See `kind`.
        memory_mb: Memory of the batch job.
        promised_mb: Disk space that the policy promises; 0: none.
        free_mb: What the scratch directory has free.
    """
    if where != "memory":
        return memory_mb, min(free_mb, promised_mb) if promised_mb else free_mb
    disk_mb = min(free_mb, promised_mb or memory_mb // MEMORY_SHARE)
    return memory_mb - disk_mb, disk_mb


def check(where: str, memory_mb: int, disk_mb: int) -> Finding:
    """What that means for jobs.

    Args:
        where: See `kind`.
        memory_mb: Memory that the slot offers.
        disk_mb: Disk space that it offers.
    """
    found = {"FallowScratch": where}
    if where != "memory":
        return Finding("diskless", True, f"The scratch directory is {where}.", capabilities=found)
    words = (
        f"The scratch directory is in memory: jobs share {memory_mb} MB of memory and {disk_mb} MB for files"
    )
    if memory_mb < LEAST_MEMORY_MB:
        words += ": too little; promise less in pilot.disk_mb, or name another scratch directory."
        return Finding("diskless", False, words, fatal=True, capabilities=found)
    return Finding("diskless", True, f"{words}.", capabilities=found)
