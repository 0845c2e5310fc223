"""When the allocation ends, and how far the node's clock is from the hub's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

STEPS = ("SLURM_JOB_END_TIME",)
"""Variables in which batch systems tell a job the unix time of its end."""


def end_of_allocation(started: float, walltime_s: int, environment: Mapping[str, str]) -> float:
    """Unix time at which the allocation ends: the earlier of what the launcher asked for and what the batch system says.

    Args:
        started: Unix time at which the pilot started.
        walltime_s: What the launcher asked for.
        environment: The batch job's environment.
    """
    said = [environment.get(name, "") for name in STEPS]
    return min(
        [
            started + walltime_s,
            *(float(moment) for moment in said if moment.isdigit() and float(moment) > started),
        ]
    )


def skew_s(header: str | None, before: float, after: float) -> float | None:
    """Seconds by which this clock is ahead of the one that wrote an HTTP `Date` header, 0 within its precision.

    Args:
        header: The header, or None.
        before: Unix time just before the request.
        after: Unix time just after the answer.

    Returns:
        None where the header says nothing.
    """
    try:
        moment: datetime = parsedate_to_datetime(header or "")
        theirs = moment.timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    # The header is cut to whole seconds.
    if before > theirs + 1:
        return before - theirs - 1
    if after < theirs:
        return after - theirs
    return 0.0
