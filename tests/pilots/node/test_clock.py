from __future__ import annotations

import pytest

from fallow_pilots.node.clock import end_of_allocation, skew_s

DATE = "Sat, 21 Nov 2026 08:00:00 GMT"
MOMENT = 1795248000.0


def test_the_end_is_what_was_asked_for() -> None:
    assert end_of_allocation(1000.0, 600, {}) == 1600.0


def test_the_batch_systems_earlier_end_counts() -> None:
    assert end_of_allocation(1000.0, 600, {"SLURM_JOB_END_TIME": "1500"}) == 1500.0


@pytest.mark.parametrize("said", ["", "soon", "0", "900", "-5", "1e9"])
def test_an_end_that_makes_no_sense_is_ignored(said: str) -> None:
    assert end_of_allocation(1000.0, 600, {"SLURM_JOB_END_TIME": said}) == 1600.0


def test_clocks_that_agree_have_no_skew() -> None:
    assert skew_s(DATE, MOMENT + 0.2, MOMENT + 0.9) == 0.0


def test_a_clock_that_is_ahead_shows_by_how_much() -> None:
    assert skew_s(DATE, MOMENT + 11, MOMENT + 12) == 10.0


def test_a_clock_that_is_behind_shows_by_how_much() -> None:
    assert skew_s(DATE, MOMENT - 12, MOMENT - 10) == -10.0


@pytest.mark.parametrize("header", [None, "", "yesterday"])
def test_a_header_that_tells_no_time_tells_no_skew(header: str | None) -> None:
    assert skew_s(header, MOMENT, MOMENT) is None
