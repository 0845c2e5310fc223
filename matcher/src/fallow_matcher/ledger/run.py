"""One run of one job: what HTCondor says of it in, what the ledger keeps out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from fallow.queue.records import COMING
from fallow_matcher.classads import number_of


class Outcome(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    """It has not ended."""
    DONE = "done"
    """The job ended with exit code 0."""
    FAILED = "failed"
    """The job ended otherwise, or went over a limit of its own."""
    REMOVED = "removed"
    """Its owner took it back."""
    EVICTED = "evicted"
    """The provider took the slot back; the job returned to the queue."""
    WITHDRAWN = "withdrawn"
    """As evicted, because the centre withdrew its pilots."""
    LOST = "lost"
    """The node could not run it, or nobody knows what became of it."""


CHARGED = frozenset({Outcome.DONE, Outcome.FAILED, Outcome.REMOVED})
"""Outcomes that the provider is credited for: it held out until the job or its owner made an end."""

ATTRIBUTES = (
    "ClusterId", "ProcId", "GlobalJobId", "NumJobMatches", "FallowUserCentre", "AcctGroupUser", "FallowWorkType",
    "FallowWalltime", "MachineAttrFallowCentre0", "MachineAttrFallowPilot0", "MachineAttrCpus0", "MachineAttrGPUs0",
    "MachineAttrGPUs_DeviceName0", "QDate", "JobCurrentStartDate", "EpochWriteDate",
    "CompletionDate", "EnteredCurrentStatus", "LastJobLeaseRenewal", "ExitCode", "ExitBySignal", "VacateReason",
    "VacateReasonCode", "HoldReason", "HoldReasonCode", "RemoteUserCpu", "RemoteSysCpu",
)  # fmt: skip
"""The attributes of a job ad that a run is made of: what a query of the queue asks for."""

RUNNING = "JobStatus == 2 || JobStatus == 6 || JobStatus == 7"
"""The jobs of the queue that hold a slot."""

_BY_OWNER = frozenset({1})
_BY_JOB = frozenset({3, 4, 7, 8, 12, 13, 14, 26, 32, 33, 34, 46, 47})
"""HTCondor's hold codes that the job or its limits are to blame for (JobPolicy … JobExecuteExceeded); any other is the
node's. Source: condor_holdcodes.h of HTCondor, and *HoldReasonCode* in its manual."""
_DISCONNECTED, _WITHDRAWN, _REMOVE, _NOT_IDLE = 1008, 1011, 1023, 1032
"""Vacate codes as HTCondor 25.14 writes them: the lease ran out, the slot was preempted (what a pilot does that is told to
withdraw), the job was removed, the slot was not there."""


class Terms(Protocol):
    """What of the agreed rules a run is valued by (`fallow.rules.Rules` has it)."""

    def benchmark_factor(self, centre: str, /) -> float:
        """How much work a core or GPU of a centre does."""

    def resource_class(self, gpu_model: str = "", /) -> str:
        """The class of a slot by its GPUs' model."""


@dataclass(frozen=True)
class Run:
    """One run; durations in seconds, moments in unix seconds of the hub's clock."""

    global_job_id: str
    run: int
    """Number of the match that the job ran on: 1 for its first run, unchanged by reconnects."""
    job: str
    provider: str
    pilot: str
    consumer: str
    user: str
    work_type: str
    resource_class: str
    cores: int
    gpus: int
    factor: float
    requested_s: int
    submitted: float | None
    started: float
    ended: float | None
    wall_s: float | None
    """Measured at the hub, from the schedd's start of the run to its shadow's end; None while it runs, and where nobody saw
    its end."""
    cpu_s: float | None
    outcome: Outcome
    reason: str

    @property
    def key(self) -> tuple[str, int]:
        """What no two runs have in common."""
        return self.global_job_id, self.run

    @property
    def amount(self) -> int:
        """How many cores (GPUs, where it has some) the run held."""
        return self.gpus or self.cores

    @property
    def value(self) -> float:
        """What it is worth: cores * min(measured, requested) * benchmark factor; the requested walltime until it ends.

        Zero where the provider did not hold out, and where provider and consumer are one or either is unknown.
        """
        if self.provider == self.consumer or not self.provider or not self.consumer:
            return 0.0
        if self.outcome is Outcome.RUNNING:
            return self.amount * self.requested_s * self.factor
        if self.outcome not in CHARGED or self.wall_s is None:
            return 0.0
        return self.amount * min(self.wall_s, self.requested_s) * self.factor

    @property
    def valued_at(self) -> float:
        """The moment from which its value decays: its end, or its start while it runs."""
        return self.started if self.ended is None else self.ended


def started(ad: Mapping[str, Any], terms: Terms) -> Run | None:
    """The run of a job that the queue lists as running; None where the ad does not name one."""
    return _run(ad, terms, outcome=Outcome.RUNNING, reason="", ended=None, wall_s=None)


def ended(ad: Mapping[str, Any], terms: Terms) -> Run | None:
    """The run that an epoch record (written as the run ends) or a history record (as the job leaves the queue) tells of.

    Returns:
        None where the ad names no run, as that of a job which never started.
    """
    began = number_of(ad, "JobCurrentStartDate")
    end = (
        number_of(ad, "EpochWriteDate")
        or number_of(ad, "CompletionDate")
        or number_of(ad, "EnteredCurrentStatus")
    )
    if began is None or end is None:
        return None
    outcome, reason = verdict(ad)
    if outcome is Outcome.LOST:
        # The hub noticed later than it happened: when it last heard of the run is when it was lost.
        end = min(end, max(began, number_of(ad, "LastJobLeaseRenewal") or end))
    end = max(began, end)
    return _run(ad, terms, outcome=outcome, reason=reason, ended=end, wall_s=end - began)


def verdict(ad: Mapping[str, Any]) -> tuple[Outcome, str]:
    """How the run that an ad tells of ended, and why."""
    vacated = number_of(ad, "VacateReasonCode")
    if vacated is not None:
        return _vacated(ad, int(vacated))
    # The queue clears the reason of an earlier eviction when a job starts again.
    if ad.get("ExitBySignal") is True:
        return Outcome.FAILED, "ended by a signal"
    code = number_of(ad, "ExitCode")
    if code is None:
        return Outcome.LOST, "its end left no reason"
    return (Outcome.DONE, "") if code == 0 else (Outcome.FAILED, f"exit code {int(code)}")


def _vacated(ad: Mapping[str, Any], code: int) -> tuple[Outcome, str]:
    why = _text(ad, "VacateReason", 300)
    held = number_of(ad, "HoldReasonCode")
    if code == _REMOVE:
        return Outcome.REMOVED, why
    if code in (_DISCONNECTED, _NOT_IDLE):
        return Outcome.LOST, why
    # A job may go on bearing that it once was held until it was complete.
    if held is not None and held not in COMING:
        return _held(int(held)), _text(ad, "HoldReason", 300) or why
    if code == _WITHDRAWN:
        return Outcome.WITHDRAWN, why
    return (_held(code) if code < 1000 else Outcome.EVICTED), why


def _held(code: int) -> Outcome:
    if code in _BY_OWNER:
        return Outcome.REMOVED
    return Outcome.FAILED if code in _BY_JOB else Outcome.LOST


def _run(
    ad: Mapping[str, Any],
    terms: Terms,
    *,
    outcome: Outcome,
    reason: str,
    ended: float | None,
    wall_s: float | None,
) -> Run | None:
    name = _text(ad, "GlobalJobId", 200)
    number, began = _count(ad, "NumJobMatches"), number_of(ad, "JobCurrentStartDate")
    if not name or not number or began is None:
        return None
    provider = _text(ad, "MachineAttrFallowCentre0", 63)
    gpus = _count(ad, "MachineAttrGPUs0")
    model = _text(ad, "MachineAttrGPUs_DeviceName0", 100) or "unknown"
    cpu = [number_of(ad, "RemoteUserCpu"), number_of(ad, "RemoteSysCpu")]
    return Run(
        global_job_id=name,
        run=number,
        job=f"{_count(ad, 'ClusterId')}.{_count(ad, 'ProcId')}",
        provider=provider,
        pilot=_text(ad, "MachineAttrFallowPilot0", 100),
        consumer=_text(ad, "FallowUserCentre", 63),
        user=_text(ad, "AcctGroupUser", 63),
        work_type=_text(ad, "FallowWorkType", 32),
        resource_class=terms.resource_class(model if gpus else ""),
        cores=max(1, _count(ad, "MachineAttrCpus0")),
        gpus=gpus,
        factor=terms.benchmark_factor(provider),
        requested_s=_count(ad, "FallowWalltime"),
        submitted=number_of(ad, "QDate"),
        started=began,
        ended=ended,
        wall_s=wall_s,
        cpu_s=None if ended is None or None in cpu else sum(filter(None, cpu)),
        outcome=outcome,
        reason=reason,
    )


def _count(ad: Mapping[str, Any], name: str) -> int:
    """A number of things; 0 where it is absent, and never more than a database's integer holds."""
    return int(min(max(number_of(ad, name) or 0, 0), 2**31 - 1))


def _text(ad: Mapping[str, Any], name: str, length: int) -> str:
    value = ad.get(name)
    if not isinstance(value, str):
        return ""
    value = value[:length]
    return value if value.isprintable() else "".join(one if one.isprintable() else "?" for one in value)
