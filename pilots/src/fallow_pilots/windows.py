"""Calendar windows in a centre's own time zone, across midnight and clock changes.

A start or end that a clock change skips moves with the change; one that occurs twice means the first.
"""

from datetime import date, datetime, time, timedelta, timezone
from typing import Annotated, Literal, Optional
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, model_validator

from fallow.settings import Settings

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ClockTime = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]


class Window(Settings):
    """One window; it starts on each of its days and may end on the next."""

    days: tuple[Weekday, ...] = Field(default=WEEK, min_length=1)
    """Days on which the window starts."""
    start: ClockTime = "00:00"
    """Wall-clock time `HH:MM` at which it opens."""
    end: ClockTime = "24:00"
    """Wall-clock time at which it closes; `24:00` is midnight at the end of the day."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> "Window":
        if self.start == self.end:
            raise ValueError(f"start = {self.start} contradicts end = {self.end}: the window is never open")
        if self.start == "24:00":
            raise ValueError("start = 24:00 is the next day's 00:00")
        return self

    def on(self, day: date, zone: ZoneInfo) -> "tuple[datetime, datetime]":
        """The window of `day` as two moments in UTC; a clock change may leave the second before the first."""
        overnight = self.end <= self.start
        return _moment(day, self.start, zone), _moment(day + timedelta(days=overnight), self.end, zone)


def check_zone(name: str) -> str:
    """Refuse a time zone that is not known here."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a known time zone, e.g. Europe/Berlin") from error
    return name


def _moment(day: date, clock: str, zone: ZoneInfo) -> datetime:
    if clock == "24:00":
        day, clock = day + timedelta(days=1), "00:00"
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=zone).astimezone(timezone.utc)


def open_until(windows: "tuple[Window, ...]", zone_name: str, now: datetime) -> Optional[datetime]:
    """When the window that is open at `now` closes, in UTC; windows that touch count as one.

    Returns:
        `now` itself when no window is open; None when there are no windows, or when they never close.
    """
    if not windows:
        return None
    zone = ZoneInfo(zone_name)
    today = now.astimezone(zone).date()
    spans = sorted(
        window.on(today + timedelta(days=offset), zone)
        for window in windows
        for offset in range(-1, 9)
        if WEEK[(today + timedelta(days=offset)).weekday()] in window.days
    )
    until = now
    for start, end in spans:
        if start <= until < end:
            until = end
    return None if until - now > timedelta(days=8) else until


def longest_s(windows: "tuple[Window, ...]", zone_name: str, monday: date) -> Optional[float]:
    """How long the windows of a week without clock changes are open without interruption, in seconds; None: always."""
    zone = ZoneInfo(zone_name)
    starts = [
        window.on(monday + timedelta(days=offset), zone)[0]
        for window in windows
        for offset in range(7)
        if WEEK[offset] in window.days
    ]
    ends = [open_until(windows, zone_name, start) for start in starts]
    if not windows or None in ends:
        return None
    return max((end - start).total_seconds() for start, end in zip(starts, ends) if end is not None)
