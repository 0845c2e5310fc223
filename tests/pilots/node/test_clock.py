from __future__ import annotations

import pytest

from fallow_pilots.node.clock import skew_s

DATE = "Sat, 21 Nov 2026 08:00:00 GMT"
MOMENT = 1795248000.0


def test_clocks_that_agree_have_no_skew() -> None:
    assert skew_s(DATE, MOMENT + 0.2, MOMENT + 0.9) == 0.0


def test_a_clock_that_is_ahead_shows_by_how_much() -> None:
    assert skew_s(DATE, MOMENT + 11, MOMENT + 12) == 10.0


def test_a_clock_that_is_behind_shows_by_how_much() -> None:
    assert skew_s(DATE, MOMENT - 12, MOMENT - 10) == -10.0


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_a_header_that_tells_no_time_tells_no_skew(header: str | None) -> None:
    assert skew_s(header, MOMENT, MOMENT) is None
