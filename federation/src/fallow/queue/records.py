"""What the queue says about a job: a job ad in, one immutable record out. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROJECTION = [
    "ClusterId", "ProcId", "FallowRun", "FallowKey", "FallowName", "FallowWalltime",
    "JobStatus", "ExitCode", "ExitBySignal", "ExitSignal", "NumJobStarts",
    "HoldReason", "HoldReasonCode", "HoldReasonSubCode", "RemoveReason", "VacateReason",
    "QDate", "JobCurrentStartDate", "JobCurrentStartExecutingDate", "CompletionDate",
    "MachineAttrFallowCentre0", "MachineAttrFallowPilot0", "FallowNotes", "FallowTaken",
]  # fmt: skip
"""All the attributes that a record is made of: what a status query asks for."""

COMING = frozenset({15, 16})
"""HTCondor's hold codes of a job that its submitter has still to let go: submitted on hold, files being sent."""
COMES_WITHIN_S = 60.0
"""A job that is still coming so long after its submission succeeded is lost: the schedd tells the submitter first, lets the
job go a second later, and forgets to where it is killed in between."""
_OVER_WALLTIME = frozenset({46, 47})
_STATUS = {1: "waiting", 2: "running", 3: "removed", 4: "finished", 5: "held", 6: "running", 7: "running"}


class JobState(enum.Enum):
    """Where a job is; the states after `RUNNING` are final for this job."""

    STAGING = "staging"
    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    FINISHED = "finished"
    REMOVED = "removed"


_USABLE = (JobState.WAITING, JobState.RUNNING, JobState.FINISHED)


@dataclass(frozen=True)
class JobRecord:
    """One job as the queue (or its history) last saw it; moments are unix times in UTC."""

    id: str
    run: str
    key: str
    name: str
    state: JobState
    exit_code: int | None
    """Exit code of a finished job; None where a signal ended it."""
    exit_signal: int | None
    hold_code: int | None
    reason: str
    """Why the job is held, was removed or was last taken off a slot."""
    centre: str | None
    """The centre of the last slot that ran the job."""
    pilot: str | None
    starts: int
    """How many times the job was started."""
    walltime_s: int | None
    submitted: int | None
    started: int | None
    finished: int | None
    hold_subcode: int | None = None
    """Which limit of a pilot the job went over, where that is why it is held."""
    notes: str | None = None
    """Where in the user's storage the job says what it writes while it runs."""
    taken: bool = False
    """Whether its client has taken the result of the finished job."""

    @property
    def succeeded(self) -> bool:
        """Whether the job ran to its end and said that all is well."""
        return self.state is JobState.FINISHED and self.exit_code == 0

    @property
    def over_walltime(self) -> bool:
        """Whether the job was stopped because it ran longer than it asked for."""
        return self.state is JobState.HELD and self.hold_code in _OVER_WALLTIME

    @property
    def waited_s(self) -> int | None:
        """Seconds from submission to the last start."""
        return (
            None if self.started is None or self.submitted is None else max(0, self.started - self.submitted)
        )

    @property
    def ran_s(self) -> int | None:
        """Seconds from the last start to the end."""
        return None if self.started is None or self.finished is None else max(0, self.finished - self.started)


def usable(jobs: Mapping[str, JobRecord]) -> dict[str, str]:
    """The ids of those jobs that need not be submitted again, by key."""
    return {key: job.id for key, job in jobs.items() if job.state in _USABLE}


def record(ad: Mapping[str, Any]) -> JobRecord:
    """The record of a job ad; attributes that are missing or not of the expected type count as absent."""
    code = _number(ad, "HoldReasonCode")
    state = JobState(_STATUS.get(_number(ad, "JobStatus") or 0, "waiting"))
    if state is JobState.HELD and code in COMING:
        state = JobState.STAGING
    by_signal = ad.get("ExitBySignal") is True
    finished = state is JobState.FINISHED
    reason = {JobState.HELD: "HoldReason", JobState.REMOVED: "RemoveReason"}.get(state, "VacateReason")
    return JobRecord(
        id=f"{_number(ad, 'ClusterId')}.{_number(ad, 'ProcId')}",
        run=_text(ad, "FallowRun") or "",
        key=_text(ad, "FallowKey") or "",
        name=_text(ad, "FallowName") or "",
        state=state,
        exit_code=_number(ad, "ExitCode") if finished and not by_signal else None,
        exit_signal=_number(ad, "ExitSignal") if finished and by_signal else None,
        hold_code=code if state is JobState.HELD else None,
        reason=_text(ad, reason) or "",
        centre=_text(ad, "MachineAttrFallowCentre0"),
        pilot=_text(ad, "MachineAttrFallowPilot0"),
        starts=_number(ad, "NumJobStarts") or 0,
        walltime_s=_number(ad, "FallowWalltime"),
        submitted=_number(ad, "QDate"),
        started=_number(ad, "JobCurrentStartExecutingDate") or _number(ad, "JobCurrentStartDate"),
        finished=_number(ad, "CompletionDate") or None,
        notes=_text(ad, "FallowNotes"),
        hold_subcode=_number(ad, "HoldReasonSubCode") if state is JobState.HELD else None,
        taken=ad.get("FallowTaken") is True,
    )


def _number(ad: Mapping[str, Any], name: str) -> int | None:
    value = ad.get(name)
    # The bindings' `Value.Undefined` is an int as well, and so is a bool.
    return int(value) if value is not None and type(value) in (int, float) else None


def _text(ad: Mapping[str, Any], name: str) -> str | None:
    value = ad.get(name)
    return value if isinstance(value, str) else None
