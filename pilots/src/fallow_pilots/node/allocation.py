"""What this batch job may really use of its node: never more is advertised. Reading and judging are apart."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fallow_pilots.node.features import Features
from fallow_pilots.spec import PilotSpec

UNLIMITED = 1 << 60
"""Memory limits of control groups from here on mean none."""


@dataclass(frozen=True)
class Limits:
    """What the node, its control groups and the batch system say; None where they say nothing.

    Args:
        node_cores: CPUs of the node.
        usable_cores: CPUs that this process may run on.
        batch_cores: CPUs that the batch system has allocated here.
        node_memory_mb: Memory of the node.
        cgroup_memory_mb: The lowest memory limit of this process's control groups.
        batch_memory_mb: Memory that the batch system has allocated here.
        batch_gpus: GPUs that the batch system has allocated here.
        disk_mb: Scratch space that the site allows the job.
    """

    node_cores: int
    usable_cores: int
    batch_cores: int | None
    node_memory_mb: int
    cgroup_memory_mb: int | None
    batch_memory_mb: int | None
    batch_gpus: int | None
    disk_mb: int | None = None


@dataclass(frozen=True)
class Allocation:
    """What the slot offers."""

    cores: int
    memory_mb: int
    gpus: int
    disk_mb: int
    """0: what the scratch directory has free."""


def allocation(spec: PilotSpec, limits: Limits) -> Allocation:
    """What the pilot offers: what its launcher asked for, or with `whole_node` all, and no more than it was given.

    A process that may run on all CPUs of the node is not bound by that, so that the batch system's count stands, even
    where it counts more CPUs than there are.
    """
    bound = limits.usable_cores if limits.usable_cores < limits.node_cores else None
    cores = [number for number in (bound, limits.batch_cores) if number]
    memory = [number for number in (limits.cgroup_memory_mb, limits.batch_memory_mb) if number]
    memory.append(limits.node_memory_mb)
    if not spec.whole_node:
        cores.append(spec.cores)
        memory.append(spec.memory_mb)
    gpus = spec.gpus if limits.batch_gpus is None or not spec.gpus else limits.batch_gpus
    disk = [number for number in (spec.disk_mb, limits.disk_mb) if number]
    return Allocation(
        cores=max(1, min(cores, default=limits.node_cores)),
        memory_mb=min(memory),
        gpus=gpus if spec.whole_node else min(spec.gpus, gpus),
        disk_mb=min(disk, default=0),
    )


def read_limits(environment: Mapping[str, str], features: Features, root: Path = Path("/")) -> Limits:
    """Ask the node.

    Args:
        environment: The batch job's environment.
        features: What the site says.
        root: Where `proc` and `sys` lie.
    """
    slot = _condor_slot(environment)
    node_memory_mb = _memory_mb((root / "proc/meminfo").read_text(encoding="ascii"))
    return Limits(
        node_cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)),
        batch_cores=_batch_cores(environment) or slot.get("Cpus") or features.cores(),
        node_memory_mb=node_memory_mb,
        cgroup_memory_mb=cgroup_memory_mb(root),
        batch_memory_mb=_batch_memory_mb(environment) or slot.get("Memory") or features.memory_mb(),
        batch_gpus=_batch_gpus(environment),
        disk_mb=features.disk_mb(),
    )


def cgroup_memory_mb(root: Path) -> int | None:
    """The lowest memory limit of this process's control groups and those above them, of version 1 or 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        while group == base or base in group.parents:
            limit = _bytes(group / name)
            if limit is not None:
                found.append(limit >> 20)
            group = group.parent
    return min(found, default=None)


def _bytes(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None


def _memory_mb(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) >> 10 if found else 0


def _count(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "")
    return int(value) if value.isdigit() and int(value) else None


def _batch_cores(environment: Mapping[str, str]) -> int | None:
    """By Slurm or PBS; `NCPUS` alone may be anybody's."""
    return _count(environment, "NCPUS" if "PBS_JOBID" in environment else "SLURM_CPUS_ON_NODE")


def _condor_slot(environment: Mapping[str, str]) -> dict[str, int]:
    """Whole numbers in the slot's ad, where HTCondor is the batch system."""
    try:
        text = Path(environment["_CONDOR_MACHINE_AD"]).read_text(encoding="utf-8", errors="replace")
    except (KeyError, OSError):
        return {}
    return {
        name: int(value) for name, value in re.findall(r"^(Cpus|Memory) = (\d{1,9})$", text, re.MULTILINE)
    }


def _batch_memory_mb(environment: Mapping[str, str]) -> int | None:
    """Slurm's limit: for the node, or for each of its CPUs; 0 means all."""
    whole = _count(environment, "SLURM_MEM_PER_NODE")
    if whole:
        return whole
    each, cores = _count(environment, "SLURM_MEM_PER_CPU"), _count(environment, "SLURM_CPUS_ON_NODE")
    return each * cores if each and cores else None


def _batch_gpus(environment: Mapping[str, str]) -> int | None:
    listed = environment.get("SLURM_GPUS_ON_NODE", "")
    if listed.isdigit():
        return int(listed)
    visible = environment.get("CUDA_VISIBLE_DEVICES", environment.get("ROCR_VISIBLE_DEVICES"))
    if visible is None:
        return None
    return sum(bool(word) and word not in {"-1", "NoDevFiles"} for word in visible.split(","))
