"""Durations as people say them."""

from __future__ import annotations

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def from_now(seconds: float) -> str:
    """`seconds` as "in 5 minutes", "2 hours ago" or "now": the largest unit that fits, rounded down."""
    for length, name in _UNITS:
        count = int(abs(seconds) // length)
        if count:
            amount = f"{count} {name}{'' if count == 1 else 's'}"
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"
