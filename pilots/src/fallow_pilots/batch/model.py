"""What every batch system takes and answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from fallow.errors import NotAvailableError


class BatchError(NotAvailableError):
    """The batch system failed, did not answer in time, or answered nonsense; nothing follows from it."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy, retryable=True)


class Phase(Enum):
    """Where a batch job is."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


class Stop(Enum):
    """How firmly a job is asked to stop."""

    DRAIN = "drain"
    """Finish what runs and take nothing new."""
    EVICT = "evict"
    """Give running work back and leave within seconds."""
    KILL = "kill"
    """Remove it, queued or running."""


@dataclass(frozen=True)
class BatchJob:
    """One pilot as a batch job."""

    name: str
    """Unique in the batch system, so that a job whose id was lost is found again."""
    node_command: Path
    spec: Path
    script: Path
    log: Path
    cores: int
    memory_mb: int
    gpus: int
    walltime_s: int
    drain_grace_s: int
    deadline: datetime | None = None
    """The job must have ended by then, however long it waits to start."""
    nodes: int = 1
    """Nodes of the job; cores, memory and GPUs are those of each."""
    gpu_model: str | None = None
    """The batch system's name for the only model of GPU that will do."""


@dataclass(frozen=True)
class JobStatus:
    """One job in one answer of the batch system."""

    name: str
    native_id: str
    phase: Phase
    detail: str
    """The batch system's own word for the state, with its reason where there is one."""
    started: datetime | None = None
    node: str | None = None
    barred: str | None = None
    """The batch system's word for the limit of its account, budget or QOS that it waits for, whatever is free."""


@dataclass(frozen=True)
class Node:
    """One node that could take a pilot: it is up, answers, and is not reserved for anybody else."""

    name: str
    cores_free: int
    memory_mb_free: int
    gpus_free: int
    idle: bool
    """No job at all is on it."""
    free_until: datetime | None = None
    """When maintenance or a reservation takes it: a job that would run longer is not started there; None: never."""
    gpu_models: tuple[tuple[str, int], ...] = ()
    """Free GPUs by the batch system's name for the model, where it tells."""

    def gpus_free_of(self, model: str | None) -> int:
        """Free GPUs of a model; None: of any."""
        return self.gpus_free if model is None else dict(self.gpu_models).get(model, 0)


@dataclass(frozen=True)
class Hole:
    """The question how many pilots the scheduler would start at once, without delaying any job that waits."""

    nodes: int
    """Nodes of one pilot; cores, memory and GPUs are those of each."""
    cores: int
    memory_mb: int
    gpus: int
    walltime_s: int
    most: int
    """No more pilots than this are of interest."""
    gpu_model: str | None = None


@dataclass(frozen=True)
class Spare:
    """What local work leaves free at one moment."""

    nodes: tuple[Node, ...]
    waiting: int | None = None
    """Local jobs that wait for resources; None where nobody asked."""
    startable: int | None = None
    """Pilots that the scheduler says it would start at once; None where nobody asked or it cannot say."""
    startable_s: int | None = None
    """The walltime that was asked about."""


class BatchSystem(Protocol):
    """A batch system. Every method raises `BatchError` when no trustworthy answer came."""

    programs: tuple[str, ...]
    """The commands it needs on PATH."""

    def script(self, job: BatchJob) -> str:
        """Text of the batch script."""

    def submit_argv(self, job: BatchJob) -> list[str]:
        """The command that submits `job`."""

    def submit(self, job: BatchJob) -> str:
        """Submit `job` and return its native id; after an error it may exist all the same."""

    def status(self, names: Collection[str]) -> list[JobStatus]:
        """All known jobs of this centre's pilots; `names` are those that somebody wants to hear of."""

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        """Ask jobs to stop; ones that are gone already are no error."""

    def spare(self, *, count_waiting: bool, partitions: Sequence[str], hole: Hole | None = None) -> Spare:
        """What is free now, and how many local jobs wait in `partitions` (none: in all).

        With a `hole`, also how many such pilots would start at once; nodes that the scheduler keeps for a job to come
        then count as well, because only the scheduler knows whether a pilot is gone in time.
        """
