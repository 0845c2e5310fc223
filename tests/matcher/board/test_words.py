"""Numbers, moments and drawings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from fallow.capacity import Amount, CapacityPoint
from fallow_matcher.board import chart, words

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def point(hour: int, used: float) -> CapacityPoint:
    cores = Amount(offered=10, running=8, idle=8 - used, used=used)
    none = Amount(offered=0, running=0, idle=0, used=0)
    at = SINCE + timedelta(hours=hour)
    return CapacityPoint(
        centre="north", at=at, span_s=3600, pilots_offered=1, pilots_running=1, cores=cores, gpus=none
    )


def drawn(points: list[CapacityPoint]) -> str:
    return str(chart.capacity(points, SINCE, SINCE + timedelta(hours=24), 3600, 'north "<b>"'))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (0, "0 s"),
        (59.4, "59 s"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (41 * 3600, "1.7 d"),
        (1e8, "1,157 d"),
    ],
)
def test_a_duration_is_said_in_one_unit(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


def test_balances_have_a_sign_and_other_core_hours_none() -> None:
    assert [words.balance(value) for value in (-7200, 3600 * 1234.5)] == ["-2.00", "+1,234.50"]
    assert [words.hours(value) for value in (0, 144, 3600 * 1234.5)] == ["0.00", "0.04", "1,234.50"]


def test_a_moment_is_in_utc_whatever_it_was_in() -> None:
    assert words.moment(0) == "1970-01-01 00:00"
    assert words.moment(datetime.fromisoformat("2026-11-01T02:00:00+02:00")) == "2026-11-01 00:00"
    assert words.moment(None) == "-"


def test_neighbours_share_one_area_and_a_gap_begins_another() -> None:
    svg = drawn([point(0, 4), point(1, 4), point(2, 8), point(20, 2)])
    (used,) = re.findall(r'class="used" d="([^"]*)"', svg)
    assert used == "M0 48V28.8H10H20V9.6H30V48M200 48V38.4H210V48"


def test_what_is_drawn_is_said_and_escaped() -> None:
    svg = drawn([])
    assert 'aria-label="north &#34;&lt;b&gt;&#34;"' in svg
    assert 'd=""' in svg


def test_a_bar_goes_to_its_side_and_no_further_than_the_edge() -> None:
    assert 'class="took" x="60.0" y="2" width="60.0"' in chart.bar(-5, 10, "x")
    assert 'class="gave" x="120.0" y="2" width="120.0"' in chart.bar(50, 10, "x")
    assert 'width="0.0"' in chart.bar(0, 0, "x")
