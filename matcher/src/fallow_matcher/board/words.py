"""Numbers and moments as people read them; pure."""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float | None) -> str:
    """A length of time in one unit, e.g. `41 s`, `3.5 min`, `12 h`, `4.1 d`; a dash where it is not known."""
    if seconds is None:
        return "-"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{_short(seconds / length)} {unit}"
    return f"{seconds:.0f} s"


def amount(value: float | None) -> str:
    """A number of cores, pilots or jobs, without more digits than say something."""
    return "-" if value is None else _short(value)


def hours(core_s: float) -> str:
    """Core-seconds as core-hours, small ones too."""
    return f"{core_s / 3_600:,.2f}"


def balance(core_s: float) -> str:
    """Core-seconds as core-hours with their sign."""
    return f"{core_s / 3_600:+,.2f}"


def moment(at: datetime | float | None) -> str:
    """A moment in UTC, to the minute; a unix time does as well."""
    if at is None:
        return "-"
    when = datetime.fromtimestamp(at, UTC) if isinstance(at, (int, float)) else at.astimezone(UTC)
    return f"{when:%Y-%m-%d %H:%M}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"
