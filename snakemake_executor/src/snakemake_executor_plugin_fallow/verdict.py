"""What a job's record means for the workflow: active, done, the rule's failure or the infrastructure's. Pure."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.queue import JobRecord, JobState
from fallow.queue.records import COMES_WITHIN_S

EXIT_INFRASTRUCTURE = 75
"""Exit code with which our script says: the rule never ran, try elsewhere."""
EXIT_EXPIRED = 76
"""Exit code with which our script says: the job waited longer than its credentials were good for."""
EXIT_UNFIT = 77
"""Exit code with which our script says: the image lacks what the rule needs, here and everywhere."""

STARTED = "fallow-job: started"
"""What our script writes to stderr first: the container came up."""

AVOIDED_S = 300
"""For so long a job is kept from the pilot that lost it; then any will do, for there may be no other."""

_SHORT_WAIT_S = 600
_OUT_OF_RESOURCES = 34
_HELD_BY_OWNER = 1
_HELD_BY_PILOT = 21
_OUT_OF = {102: "memory (mem_mb)", 104: "disk (disk_mb)", 105: "time (runtime)"}
"""What pilots hold a job for, by the subcode of their WANT_HOLD."""
_SPEAKER = re.compile(r"^Error from \S+: ")
_PILOT = re.compile(r"[a-z0-9-]+")
_UNAUTHENTICATED = 401
_NO_MEMORY = re.compile(
    r"MemoryError|Cannot allocate memory|std::bad_alloc|[Oo]ut of memory|exit status 137|SIGKILL"
)
_HELD_BY_POLICY = frozenset({3, 5, 26, 27})


class Verdict(enum.Enum):
    """What to do about a job."""

    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    """The rule failed: tell Snakemake, which spends one of the rule's retries."""
    LOST = "lost"
    """The infrastructure failed: submit it again, spend nothing."""


@dataclass(frozen=True)
class Judgement:
    """A verdict and, unless all is well, the reason in words."""

    verdict: Verdict
    reason: str = ""
    counted: bool = True
    """Whether a loss counts against the bound on resubmissions; waiting for long is nobody's failure."""
    final: bool = False
    """Whether another try cannot end otherwise."""


def judge(record: JobRecord | None, since_s: float = 0.0) -> Judgement:
    """The judgement of a job.

    Args:
        record: None stands for a job that neither the queue nor its history knows.
        since_s: How long ago it was submitted.
    """
    if record is None:
        return Judgement(Verdict.LOST, "the queue no longer knows the job")
    if record.state is JobState.FINISHED:
        return _finished(record)
    if record.state is JobState.HELD:
        return _held(record)
    if record.state is JobState.REMOVED:
        return Judgement(Verdict.LOST, f"the job was removed: {record.reason or 'no reason given'}")
    if record.state is JobState.STAGING and since_s > COMES_WITHIN_S:
        return Judgement(Verdict.LOST, "the hub was restarted just as the job came")
    return Judgement(Verdict.ACTIVE)


def reconsider(judgement: Judgement, record: JobRecord, stderr: str | None) -> Judgement:
    """The judgement of a finished job in the light of what it wrote; None where that could not be had."""
    if stderr is None:
        return judgement
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else "it wrote nothing"
    if record.exit_code in (EXIT_INFRASTRUCTURE, EXIT_EXPIRED):
        return replace(judgement, reason=last)
    if record.exit_code == EXIT_UNFIT and STARTED in stderr:
        return replace(judgement, reason=last.removeprefix("fallow-job: "), final=True)
    if record.exit_code is not None and STARTED not in stderr:
        return Judgement(Verdict.LOST, f"the container did not start: {last}")
    if judgement.verdict is Verdict.FAILED and _NO_MEMORY.search(stderr):
        return replace(judgement, reason=f"{judgement.reason}; it seems to be out of memory (mem_mb)")
    return judgement


def elsewhere(requirements: str | None, record: JobRecord | None, now: float) -> str | None:
    """The requirements of a job's next submission: not where it was lost, for a while.

    Args:
        requirements: What its rule asks of every slot.
        record: How it was lost.
        now: Unix time.
    """
    if record is None or record.pilot is None or not _PILOT.fullmatch(record.pilot):
        return requirements
    away = f'(TARGET.FallowPilot =!= "{record.pilot}" || time() > {int(now) + AVOIDED_S})'
    return f"({requirements}) && {away}" if requirements else away


def pause_s(losses: int) -> float:
    """How long a job waits before it is submitted again after so many losses: what failed may need a moment."""
    return 0.0 if losses <= 1 else min(60.0, 5.0 * 2.0 ** (losses - 1))


def passing(error: FallowError) -> bool:
    """Whether what kept a submission off may pass: the hub is away, or the user has to log in again."""
    if isinstance(error, RefusedError):
        return getattr(error, "status", None) == _UNAUTHENTICATED or "fallow login" in error.remedy
    return isinstance(error, NotAvailableError)


def _finished(record: JobRecord) -> Judgement:
    if record.succeeded:
        return Judgement(Verdict.DONE)
    if record.exit_code == EXIT_INFRASTRUCTURE:
        return Judgement(Verdict.LOST, "the job could not be set up on its node")
    if record.exit_code == EXIT_EXPIRED:
        waited_s = (record.finished or 0) - (record.submitted or 0)
        counted = (
            waited_s < _SHORT_WAIT_S
        )  # else a wrong clock on a node would have the job submitted for ever
        return Judgement(Verdict.LOST, "the job's credentials expired while it waited", counted)
    if record.exit_signal is not None:
        return Judgement(Verdict.FAILED, f"the job was ended by signal {record.exit_signal}")
    return Judgement(Verdict.FAILED, f"the job ended with exit code {record.exit_code}")


def _held(record: JobRecord) -> Judgement:
    if record.over_walltime:
        return Judgement(
            Verdict.FAILED, f"out of time: the job ran longer than its {record.walltime_s} s (runtime)"
        )
    if record.hold_code == _OUT_OF_RESOURCES:
        return Judgement(Verdict.FAILED, f"out of memory or disk: {record.reason}")
    if record.hold_code == _HELD_BY_PILOT and record.hold_subcode in _OUT_OF:
        said = _SPEAKER.sub("", record.reason)
        return Judgement(Verdict.FAILED, f"out of {_OUT_OF[record.hold_subcode]}: {said}")
    if record.hold_code in _HELD_BY_POLICY:
        return Judgement(Verdict.FAILED, f"the hub's policy stopped the job: {record.reason}")
    if record.hold_code == _HELD_BY_OWNER:
        return Judgement(Verdict.ACTIVE, f"the job is on hold: {record.reason}")
    return Judgement(Verdict.LOST, f"the job was put on hold: {record.reason}")
