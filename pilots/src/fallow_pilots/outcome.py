"""How a pilot ended: the line of JSON that it leaves for its launcher, and what the codes mean."""

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Optional

from pydantic import AfterValidator, AwareDatetime, Field

from fallow.reports import PilotReport
from fallow.settings import Settings

MOST = 2**53
"""No count is higher: what strangers say has to fit into the launcher's memory."""


class Code(IntEnum):
    """Outcome codes; the hundreds carry the meaning, finer codes stay within their hundred."""

    ASKED_TO_STOP = 100
    WORK_DONE = 200
    NO_WORK = 300
    BANNED = 400
    SITE_BROKEN = 500
    HUB_BROKEN = 600
    TRANSIENT = 700


def backs_off(code: int) -> bool:
    """Whether the launcher slows down after a pilot that ended with `code`: 300 to 699."""
    return 300 <= code <= 699


def printable(text: str) -> str:
    """`text` without what could change a terminal; parts of it may come from a payload."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


class Outcome(Settings):
    """What one pilot says of itself at its end."""

    code: int = Field(ge=100, le=799)
    """See `Code`."""
    reason: Annotated[str, Field(max_length=2000), AfterValidator(printable)]
    """One sentence for the site admin."""
    started: AwareDatetime
    """When the pilot started on its node, UTC."""
    ended: AwareDatetime
    """When it ended, UTC."""
    jobs_run: int = Field(default=0, ge=0, le=MOST)
    """Jobs that ran to their end, whatever their exit code."""
    busy_core_s: int = Field(default=0, ge=0, le=MOST)
    """Core-seconds in which a job held the cores."""

    @property
    def lifetime_s(self) -> float:
        """Seconds between start and end."""
        start: datetime = self.started
        end: datetime = self.ended
        return (end - start).total_seconds()


def outcome_of(report: PilotReport) -> Optional[Outcome]:
    """The outcome in a pilot's report to the hub, for a launcher that finds no file; None while the pilot runs."""
    if report.code is None or report.ended is None:
        return None
    return Outcome(
        code=report.code,
        reason=report.reason,
        started=report.started,
        ended=report.ended,
        jobs_run=min(report.jobs_run, MOST),
        busy_core_s=min(report.used_core_s, MOST),
    )
