"""The history of jobs, where a schedd that was killed has added some of them twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.errors import UsageError
from fallow.queue.history import remembered

PLACES = st.integers(0, 12)


class History:
    """A history that has the process `n` of cluster 1 as often as its list does, the latest first."""

    def __init__(self, processes: list[int]) -> None:
        self.processes = processes
        self.asked: list[tuple[str, int]] = []

    def __call__(self, constraint: str, most: int) -> list[dict[str, Any]]:
        """The ads for which a constraint of `any_of` holds."""
        self.asked.append((constraint, most))
        text = constraint.replace("&&", " and ").replace("||", " or ")
        found = [
            {"ClusterId": 1, "ProcId": process}
            for process in self.processes
            if eval(text, {"ClusterId": 1, "ProcId": process})
        ]
        return found[:most]


@given(st.lists(PLACES), st.sets(PLACES, min_size=1))
def test_each_job_is_found_once_however_often_it_is_there(there: list[int], wanted: set[int]) -> None:
    found = remembered([f"1.{process}" for process in wanted], History(there))
    assert found == {f"1.{process}": {"ClusterId": 1, "ProcId": process} for process in wanted & set(there)}


def test_a_job_that_is_there_twice_does_not_hide_another() -> None:
    history = History([2, 2, 1])
    assert set(remembered(["1.1", "1.2"], history)) == {"1.1", "1.2"}
    assert len(history.asked) == 2


def test_a_history_without_repetition_is_asked_once_for_hundreds() -> None:
    history = History(list(range(400)))
    assert len(remembered([f"1.{process}" for process in range(400)], history)) == 400
    assert len(history.asked) == 1


def test_what_is_no_job_id_is_refused() -> None:
    with pytest.raises(UsageError):
        remembered(["all"], History([]))
