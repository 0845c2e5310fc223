"""Bodies of the gateway's answers about one month of one centre, and where a month begins and ends.

Months are those of UTC. Durations in seconds; core-seconds are GPU-seconds in a GPU's class.
"""

import hashlib
import json
from datetime import datetime, timezone
from typing import Annotated, Optional

from pydantic import StringConstraints

from fallow.ledger.messages import Sum
from fallow.offers import CentreName, Message, UtcMoment

MONTH = r"^2[0-9]{3}-(0[1-9]|1[0-2])$"

Month = Annotated[str, StringConstraints(pattern=MONTH)]
"""A month as people write it: 2026-11."""


def span(month: str) -> tuple[datetime, datetime]:
    """The first moment of a month, and the first one after it."""
    year, number = int(month[:4]), int(month[5:])
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1, tzinfo=timezone.utc), datetime(*after, 1, tzinfo=timezone.utc)


class Day(Message):
    """What fell into one day, in one resource class."""

    day: str
    resource_class: str
    given_core_s: float = 0.0
    got_core_s: float = 0.0
    home_core_s: float = 0.0


class Waited(Message):
    """How long the centre's jobs of one resource class waited that started in the month."""

    resource_class: str
    jobs: int
    mean_s: float
    p95_s: float
    """95 of 100 jobs waited no longer."""
    alone_jobs: int
    """Jobs that the centre's own machines could have run at all."""
    alone_mean_s: Optional[float]
    """What these would have waited there without the federation, simulated; None where there is no such job."""
    alone_p95_s: Optional[float]
    saved_s: Optional[float]
    """What the federation saved them, all together; below zero where they waited longer than alone."""


class MonthReport(Message):
    """Answer of `GET /v1/ledger/report/{centre}`: the same ledger gives the same answer.

    Time counts in the month that it fell into: of a run across an edge each month has its part. The run itself counts in the
    month of its end, so that months add up. A run that has not ended is in no sum yet.
    """

    centre: CentreName
    month: Month
    since: UtcMoment
    until: UtcMoment
    given: list[Sum]
    """Runs of others at this centre, by `consumer`, `work_type` and `resource_class`."""
    got: list[Sum]
    """Runs of this centre's jobs at others, by `provider`, `work_type` and `resource_class`."""
    home: list[Sum]
    """Runs of its own jobs at its own machines, by `work_type` and `resource_class`."""
    people: list[Sum]
    """Runs of its jobs wherever they ran, by `user` and `resource_class`."""
    ends: list[Sum]
    """How all of these ended, by `side` (given, got, home) and `outcome`."""
    days: list[Day]
    running: int
    """Runs that have not ended."""
    pilots: int
    """Its pilots that were there in the month, by their own reports."""
    offered_core_s: float
    """What these offered in the month."""
    waits: list[Waited]
    digest: str = ""
    """`sha256:` and the digest of all the rest, as `digest_of` makes it."""


def digest_of(report: MonthReport) -> str:
    """Names what a report says: of its fields but `digest`, as JSON with sorted keys and no spaces."""
    document = report.model_dump(mode="json", exclude={"digest"})
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
