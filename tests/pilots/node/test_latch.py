"""The black-hole latch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.reports import RunEnd
from fallow_pilots.node.history import Run
from fallow_pilots.node.latch import MOST_FAILURES, SHORT_S, black_hole

FAILED = Run("1.0", "queue#1.0#1", 0.0, 5.0, 5.0, 1, 0, RunEnd.FAILED, 1)
GOOD = replace(FAILED, end=RunEnd.DONE, exit_code=0)
LATE = replace(FAILED, wall_s=SHORT_S)
NOT_STARTED = replace(FAILED, end=RunEnd.NOT_STARTED, exit_code=None)
EVICTED = replace(FAILED, end=RunEnd.EVICTED, exit_code=None)


def test_ten_quick_failures_in_a_row_close_the_slot() -> None:
    assert black_hole([FAILED] * 9) is None
    assert "The last 10 jobs failed within 3 minutes each" in (black_hole([FAILED] * 10) or "")


def test_jobs_that_could_not_be_started_count_and_are_told_apart() -> None:
    assert "(4 of them did not start)" in (black_hole([FAILED] * 6 + [NOT_STARTED] * 4) or "")


@pytest.mark.parametrize("run", [GOOD, LATE])
def test_a_good_or_a_long_run_begins_the_count_anew(run: Run) -> None:
    assert black_hole([FAILED] * 9 + [run] + [FAILED] * 9) is None
    assert black_hole([run] + [FAILED] * 10) is not None


def test_evictions_say_nothing_of_the_node() -> None:
    assert black_hole([EVICTED] * 30) is None
    assert black_hole([FAILED, EVICTED] * 10) is not None


@given(st.lists(st.sampled_from([FAILED, GOOD, LATE, NOT_STARTED, EVICTED]), max_size=40))
def test_a_node_that_did_well_lately_stays_open(runs: list[Run]) -> None:
    telling = [run for run in runs if run is not EVICTED]
    if not telling or {GOOD, LATE} & set(telling[-MOST_FAILURES:]):
        assert black_hole(runs) is None
