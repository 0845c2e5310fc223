"""Calendar windows: across midnight, week ends and clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import SettingsError
from fallow.settings import parse
from fallow_pilots.windows import Window, longest_s, open_until

BERLIN = "Europe/Berlin"


def window(**values: Any) -> Window:
    return parse(Window, values, source="test")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHTS = window(days=["mon", "tue", "wed", "thu", "fri"], start="20:00", end="06:00")


def test_without_windows_it_is_always_open() -> None:
    assert open_until((), BERLIN, utc("2026-03-02T12:00")) is None


def test_a_window_across_midnight_belongs_to_the_day_it_starts_on() -> None:
    saturday_early = utc("2026-01-10T02:00")  # the window of Friday
    assert open_until((NIGHTS,), BERLIN, saturday_early) == utc("2026-01-10T05:00")
    sunday_early = utc("2026-01-11T02:00")
    assert open_until((NIGHTS,), BERLIN, sunday_early) == sunday_early


def test_a_window_is_closed_before_its_start_and_at_its_end() -> None:
    for moment in (utc("2026-01-08T18:59:59"), utc("2026-01-09T05:00")):
        assert open_until((NIGHTS,), BERLIN, moment) == moment
    assert open_until((NIGHTS,), BERLIN, utc("2026-01-08T19:00")) == utc("2026-01-09T05:00")


def test_a_night_is_an_hour_shorter_when_clocks_go_forward() -> None:
    every_night = window(start="20:00", end="06:00")
    evening = utc("2026-03-28T19:00")  # 20:00 in winter time; 06:00 is in summer time
    assert open_until((every_night,), BERLIN, evening) == evening + timedelta(hours=9)


def test_a_night_is_an_hour_longer_when_clocks_go_back() -> None:
    every_night = window(start="20:00", end="06:00")
    evening = utc("2026-10-24T18:00")
    assert open_until((every_night,), BERLIN, evening) == evening + timedelta(hours=11)


@pytest.mark.parametrize(
    ("zone", "evening", "hours"),
    [
        ("America/New_York", "2026-03-08T01:00", 9),
        ("America/New_York", "2026-11-01T00:00", 11),
        ("Australia/Lord_Howe", "2026-10-03T09:30", 9.5),
        ("Australia/Lord_Howe", "2026-04-04T09:00", 10.5),
        ("America/Santiago", "2026-09-06T00:00", 9),
        ("America/Santiago", "2026-04-04T23:00", 11),
        ("Asia/Kathmandu", "2026-03-29T14:15", 10),
    ],
)
def test_a_night_is_as_long_as_its_zone_makes_it(zone: str, evening: str, hours: float) -> None:
    night = window(start="20:00", end="06:00")
    begins = utc(evening)
    assert open_until((night,), zone, begins) == begins + timedelta(hours=hours)
    just_before = begins - timedelta(seconds=1)
    assert open_until((night,), zone, just_before) == just_before


@pytest.mark.parametrize(("start", "hours"), [("2026-09-05T22:00", 6), ("2026-04-04T21:00", 7)])
def test_midnight_itself_may_be_skipped_or_come_an_hour_late(start: str, hours: float) -> None:
    evening = window(start="18:00", end="24:00")
    begins = utc(start)
    assert open_until((evening,), "America/Santiago", begins) == begins + timedelta(hours=hours)


def test_the_longest_window_of_a_week_is_known() -> None:
    monday = date(2026, 1, 5)
    assert longest_s((), BERLIN, monday) is None
    assert longest_s((window(),), BERLIN, monday) is None
    assert longest_s((NIGHTS,), BERLIN, monday) == 10 * 3600
    weekend = window(days=["sat", "sun"])
    assert longest_s((NIGHTS, weekend), BERLIN, monday) == (4 + 48) * 3600


def test_a_window_within_a_skipped_hour_keeps_its_length() -> None:
    skipped = window(start="02:10", end="02:40")
    assert open_until((skipped,), BERLIN, utc("2026-03-29T01:20")) == utc("2026-03-29T01:40")


def test_a_window_within_a_repeated_hour_opens_once() -> None:
    repeated = window(start="02:10", end="02:40")
    assert open_until((repeated,), BERLIN, utc("2026-10-25T00:20")) == utc("2026-10-25T00:40")
    second = utc("2026-10-25T01:20")
    assert open_until((repeated,), BERLIN, second) == second


def test_windows_that_touch_are_one() -> None:
    day, night = window(start="08:00", end="20:00"), window(start="20:00", end="02:00")
    assert open_until((night, day), "UTC", utc("2026-03-02T10:00")) == utc("2026-03-03T02:00")


def test_windows_that_cover_the_week_never_close() -> None:
    assert open_until((window(),), BERLIN, utc("2026-03-28T12:00")) is None


def test_a_window_that_starts_at_24_00_is_refused_with_what_to_write() -> None:
    with pytest.raises(SettingsError, match=r"start = 24:00 is the next day's 00:00"):
        window(start="24:00", end="02:00")


CLOCK = st.integers(0, 23 * 60 + 59).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
DAYS = st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1, unique=True)
ZONES = st.sampled_from([BERLIN, "America/Santiago", "Asia/Kathmandu"])
SPANS = st.tuples(CLOCK, CLOCK).filter(lambda pair: pair[0] != pair[1])
MOMENTS = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minute: utc("2026-01-01T00:00") + timedelta(minutes=minute)
)


@given(days=DAYS, span=SPANS, now=MOMENTS, zone=ZONES)
def test_an_open_window_stays_open_until_it_says_and_not_longer(
    days: list[str], span: tuple[str, str], now: datetime, zone: str
) -> None:
    one = (window(days=days, start=span[0], end=span[1]),)
    until = open_until(one, zone, now)
    assert until is not None
    assert now <= until
    if until > now:
        last = until - timedelta(seconds=1)
        assert open_until(one, zone, last) == until
