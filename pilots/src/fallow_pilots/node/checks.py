"""The check of what lies on the node: programs, disk, memory, image store, processor, GPUs, CVMFS.

Each check looks at one thing and answers with a `Finding`. Only what makes payloads unsafe, or every payload fail, is
fatal; the rest is advertised in the slot, where jobs may ask for it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow.images.architecture import USUAL
from fallow_pilots.node.allocation import Allocation
from fallow_pilots.node.condor import Programs
from fallow_pilots.node.finding import Finding, Value, find_program, run, version
from fallow_pilots.spec import PilotSpec

OLDEST_HTCONDOR = (25, 13, 2)
LEAST_DISK_MB = 256
LEAST_MEMORY_MB = 256
SPEED_S = 0.4
SPEED_BYTES = 64 << 20
BLOCK = b"\0" * (1 << 20)
MOST_REPOSITORIES = 20
CVMFS_ROOT = Path("/cvmfs")
LEVELS = (
    ("x86-64-v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    ("x86-64-v3", "avx avx2 bmi1 bmi2 f16c fma abm movbe"),
    ("x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl"),
)
"""Levels of the x86-64 psABI and the processor flags that each adds, by their names in `/proc/cpuinfo`."""


def find_htcondor() -> Programs:
    """HTCondor's programs, from a package or an unpacked release, of a version that is safe.

    Raises:
        NotAvailableError: There is none, it is incomplete or too old.
    """
    master = find_program("condor_master").resolve()
    release = master.parent.parent
    for libexec in (
        release / "libexec" / "condor",
        release / "libexec",
        release / "lib" / "condor" / "libexec",
    ):
        if (libexec / "condor_container_launcher.sh").exists():
            break
    else:
        raise NotAvailableError(
            f"HTCondor at {master} has no libexec directory.", remedy="Install HTCondor whole."
        )
    said = run([str(master), "-version"]).stdout
    number = version(said)
    if number is None or number < OLDEST_HTCONDOR:
        oldest = ".".join(map(str, OLDEST_HTCONDOR))
        shown = ".".join(map(str, number)) if number else "an unknown version"
        raise NotAvailableError(
            f"HTCondor at {master} is {shown}.",
            remedy=f"Install {oldest} or later: older ones let payloads out.",
        )
    return Programs(sbin=master.parent, libexec=libexec)


def check_disk(promised_mb: int, directory: Path) -> Finding:
    """Free space for payloads; fatal when there is next to none."""
    free_mb = shutil.disk_usage(directory).free >> 20
    words = f"{free_mb} MB are free at {directory}"
    if free_mb < LEAST_DISK_MB:
        return Finding("disk", False, f"{words}: free some, or name another scratch directory.", fatal=True)
    if free_mb < promised_mb:
        return Finding("disk", False, f"{words}, {promised_mb} were promised: the slot offers what is free.")
    return Finding("disk", True, f"{words}.")


def check_speed(directory: Path) -> Finding:
    """How fast the scratch directory takes what is written: up to 64 MB, for less than a second."""
    probe = directory / f".speed-{os.getpid()}"
    written, began = 0, time.monotonic()
    try:
        with probe.open("wb", buffering=0) as stream:
            while written < SPEED_BYTES and time.monotonic() - began < SPEED_S:
                written += stream.write(BLOCK)
            os.fdatasync(stream.fileno())
    except OSError as error:
        return Finding("scratch", False, f"{directory} cannot be written: {error.strerror}.", fatal=True)
    finally:
        probe.unlink(missing_ok=True)
    speed = round((written >> 20) / max(time.monotonic() - began, 0.001))
    return Finding(
        "scratch", True, f"{directory} takes {speed} MB/s.", capabilities={"FallowScratchSpeed": speed}
    )


def check_allocation(spec: PilotSpec, offered: Allocation) -> Finding:
    """Whether the job got what its launcher asked for; less is offered as less."""
    asked = f"{spec.cores} cores, {spec.memory_mb} MB and {spec.gpus} GPUs"
    words = f"The slot offers {offered.cores} cores, {offered.memory_mb} MB and {offered.gpus} GPUs"
    if offered.memory_mb < LEAST_MEMORY_MB:
        return Finding("allocation", False, f"{words}: too little memory for any job.", fatal=True)
    less = offered.cores < spec.cores or offered.memory_mb < spec.memory_mb or offered.gpus < spec.gpus
    if less:
        return Finding("allocation", False, f"{words}, the policy asks for {asked}: mend the policy.")
    return Finding("allocation", True, f"{words}.")


def check_store(store: Path) -> Finding:
    """Whether images can be had from the centre's store, and put there; unreadable, every payload would fail."""
    if not store.is_dir() or not os.access(store, os.R_OK | os.X_OK):
        words = f"The image store {store} cannot be read: name another one in the policy."
        return Finding("image store", False, words, fatal=True)
    free_mb = shutil.disk_usage(store).free >> 20
    writable = os.access(store, os.W_OK) and free_mb >= LEAST_DISK_MB
    words = f"The image store {store} has {free_mb} MB free" + (
        "." if writable else " and takes no further image."
    )
    return Finding("image store", writable, words, capabilities={"FallowImageStore": writable})


def check_processor(cpuinfo: str, machine: str) -> Finding:
    """The level of the processor, which compiled programs may need, or its architecture where that is another one.

    Args:
        cpuinfo: Text of `/proc/cpuinfo`.
        machine: The architecture, as `uname -m` says it.
    """
    if machine != USUAL:
        found_words = f"The processor is of the architecture {machine}."
        return Finding("processor", True, found_words, capabilities={"FallowProcessor": machine})
    found = re.search(r"^flags\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    flags = set(found.group(1).split()) if found else set()
    level = ""
    for name, needed in LEVELS:
        if not set(needed.split()) <= flags:
            break
        level = name
    words = f"The processor is of level {level}." if level else "The processor's level is not known."
    return Finding("processor", True, words, capabilities={"FallowProcessor": level} if level else {})


def repositories(promised: tuple[str, ...], root: Path = CVMFS_ROOT) -> list[str]:
    """The CVMFS repositories to look at: those that the policy promises, and those that are mounted."""
    try:
        mounted = sorted(entry.name for entry in os.scandir(root) if "." in entry.name[1:])
    except OSError:
        mounted = []
    return list(dict.fromkeys([*promised, *mounted]))[:MOST_REPOSITORIES]


def check_cvmfs(repository: str, place: Path) -> Finding:
    """Whether a CVMFS repository, or its copy, can be listed, and of which revision it is.

    Args:
        repository: Its name.
        place: Where it, or a copy of it, is.
    """
    if holds_own(place):
        return Finding("cvmfs", False, f"{place} holds files of this account: payloads do not see it.")
    try:
        with os.scandir(place) as entries:
            next(entries, None)
    except OSError as error:
        return Finding("cvmfs", False, f"{place} cannot be listed: {error.strerror}.")
    found: dict[str, Value] = {"FallowCvmfs": repository}
    revision = _revision(place)
    if revision is None:
        return Finding("cvmfs", True, f"{place} is there.", capabilities=found)
    found[f"FallowCvmfs_{re.sub('[^A-Za-z0-9]', '_', repository)}"] = revision
    return Finding("cvmfs", True, f"{place} is there, revision {revision}.", capabilities=found)


def holds_own(place: Path) -> bool:
    """Whether a directory is in the home of the pilot's account, or has that in it: no payload may see such a one."""
    home = Path.home().resolve()
    return home == place or home in place.parents or place in home.parents


def _revision(place: Path) -> int | None:
    """What the client tells as an extended attribute; a copy has the manifest in its stead.

    Its lines begin with a letter that says what they are, `S` for the revision, and end with `--` before the signature; see
    github.com/cvmfs/cvmfs, `cvmfs/manifest.cc`.
    """
    try:
        return int(os.getxattr(place, "user.revision"))
    except (OSError, ValueError):
        pass
    try:
        with (place / ".cvmfspublished").open("rb") as stream:
            found = re.search(rb"^S([0-9]{1,18})$", stream.read(4096).partition(b"\n--\n")[0], re.MULTILINE)
    except OSError:
        return None
    return int(found.group(1)) if found else None


def check_gpus(wanted: int, libexec: Path) -> Finding:
    """Which GPUs HTCondor finds, where the pilot was given any."""
    if not wanted:
        return Finding("gpus", True, "No GPUs were asked for.")
    try:
        said = run([str(libexec / "condor_gpu_discovery"), "-properties"]).stdout
    except NotAvailableError as error:
        return Finding("gpus", False, str(error))
    count, models = gpus(said)
    if not count:
        return Finding("gpus", False, "No GPU was found: the slot offers none.")
    names = ", ".join(models) or "of unknown model"
    return Finding(
        "gpus",
        count >= wanted,
        f"{count} GPUs were found: {names}.",
        capabilities={"FallowHasGpus": True, "FallowGpuModel": ", ".join(models)},
    )


def gpus(said: str) -> tuple[int, list[str]]:
    """Number and models of the GPUs in what `condor_gpu_discovery -properties` says."""
    found = re.search(r"^DetectedGPUs\s*=\s*\"?([^\"\n]*)", said, re.MULTILINE)
    listed = [word for word in (found.group(1) if found else "").replace(",", " ").split() if word != "0"]
    models = re.findall(r"DeviceName\s*=\s*\"([^\"\\]{1,100})\"", said)
    return len(listed), list(dict.fromkeys(model.replace(",", " ") for model in models))
