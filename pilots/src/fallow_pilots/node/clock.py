"""How far the node's clock is from the hub's."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime


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
