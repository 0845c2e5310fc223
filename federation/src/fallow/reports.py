"""What one pilot says of itself and of the jobs that it ran; pilot, gateway, launcher and ledger share it.

A report says only what the pilot saw: whoever credits work measures it at the hub and uses a report to compare.
"""

from enum import Enum
from typing import Annotated, Optional

from pydantic import Field, StringConstraints, model_validator

from fallow.offers import CentreName, Message, UtcMoment

PilotName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}-[0-9]{1,12}(n[0-9]{1,5})?$")]
"""A pilot's id, `<centre>-<serial>`; where one batch job holds several nodes, `<centre>-<serial>n<node's number>`."""

JobId = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,17}\.(0|[1-9][0-9]{0,17})$")]
"""A job's id in the hub's queue, `<cluster>.<proc>`."""

REPORT_SUFFIX = ".report.json"
"""Ends the name of the file in which a pilot leaves its last report for its own centre."""

MAX_RUNS = 500
"""Runs that one report lists; the totals count all."""


class RunEnd(str, Enum):
    """How one job's run at a pilot ended."""

    DONE = "done"
    """The job ended with exit code 0."""
    FAILED = "failed"
    """The job ended by itself with another exit code, or by a signal."""
    EVICTED = "evicted"
    """It was stopped while it ran, and went back to the queue unless its owner removed it."""
    STOPPED = "stopped"
    """It went over a limit and was put on hold."""
    NOT_STARTED = "not_started"
    """The node could not start its container; it went back to the queue."""


class JobRun(Message):
    """One job at one pilot, from claim to end."""

    job: JobId
    global_job_id: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]*$")]
    """HTCondor's `GlobalJobId`, which tells apart queues that were set up anew."""
    started: UtcMoment
    ended: UtcMoment
    cores: int = Field(ge=0, le=100_000)
    gpus: int = Field(default=0, ge=0, le=1_000)
    outcome: RunEnd
    exit_code: Optional[int] = Field(default=None, ge=0, le=255)
    """Of a job that ended by itself and not by a signal."""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "JobRun":
        if self.ended < self.started:
            raise ValueError(f"ended ({self.ended}) is before started ({self.started})")
        return self


class PilotReport(Message):
    """One pilot until now; a later report of the same pilot takes its place.

    While the pilot runs, `code` and `ended` are None. Core-seconds: what its slot held from its start on is offered; used
    while a job held the cores; the rest was idle.
    """

    pilot: PilotName
    centre: CentreName
    written: UtcMoment
    """When this report was made, by the node's clock."""
    started: UtcMoment
    ended: Optional[UtcMoment] = None
    code: Optional[int] = Field(default=None, ge=100, le=799)
    """The outcome code: 100 asked to stop, 200 work done, 300 no work, 400 banned, 500 node or site broken, 600 hub
    broken, 700 transient."""
    reason: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """One sentence for the site admin."""
    jobs_run: int = Field(default=0, ge=0)
    """Jobs that ran to their end, whatever their exit code."""
    offered_core_s: int = Field(default=0, ge=0)
    used_core_s: int = Field(default=0, ge=0)
    idle_core_s: int = Field(default=0, ge=0)
    runs: list[JobRun] = Field(default_factory=list, max_length=MAX_RUNS)
    """The newest runs, oldest first."""
    runs_left_out: int = Field(default=0, ge=0)
    """Older runs that are not listed."""

    @model_validator(mode="after")
    def _is_of_its_centre(self) -> "PilotReport":
        if self.pilot.rpartition("-")[0] != self.centre:
            raise ValueError(f"pilot {self.pilot} is not of centre {self.centre}")
        return self

    @model_validator(mode="after")
    def _an_end_has_a_code(self) -> "PilotReport":
        if (self.ended is None) != (self.code is None):
            raise ValueError("ended and code go together")
        return self
