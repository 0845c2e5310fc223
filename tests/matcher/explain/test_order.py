"""The expected order of waiting jobs follows the policy's score, and a centre's own jobs go first on its slots."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.offers import Shape
from fallow.rules import default_text, parse_rules
from fallow_matcher.explain.demand import Demand
from fallow_matcher.explain.order import Order, Waiter, waiter
from fallow_matcher.ledger import Standing

NOW = 1_000_000.0
RULES = parse_rules(default_text())
SHAPES = {
    "alder": [Shape(cores=4, memory_mb=8000, disk_mb=0, count=1)],
    "birch": [Shape(cores=8, memory_mb=8000, disk_mb=0, count=1)],
}
GAVE = {("birch", "cpu"): Standing(balance=100.0, contributed=400.0, credit_line=100.0)}


def waits(
    number: int, centre: str = "alder", work_type: str = "analysis", wait_s: float = 60, **asks: Any
) -> Waiter:
    demand = Demand(**{"cores": 1, "memory_mb": 500, "disk_kb": 1, "gpus": 0, "walltime_s": 60, **asks})
    return Waiter((number, 0), centre, work_type, NOW - wait_s, demand)


def ahead(job: Waiter, *others: Waiter, standings: Any = GAVE, rules: Any = RULES) -> dict[str, int]:
    return Order([job, *others], "cpu", standings, rules, NOW).ahead(job, SHAPES)


def test_the_older_job_of_a_group_goes_first() -> None:
    assert ahead(waits(2, wait_s=10), waits(1, wait_s=20), waits(3, wait_s=5))[""] == 1


def test_of_two_that_came_together_the_first_submitted_goes_first() -> None:
    assert ahead(waits(2), waits(1), waits(3))[""] == 1


def test_a_heavier_work_type_goes_before_an_older_job() -> None:
    assert ahead(waits(1, wait_s=600), waits(2, work_type="urgent", wait_s=1))[""] == 1


def test_a_test_job_that_waited_long_enough_overtakes_fresh_production() -> None:
    old = waits(1, work_type="test", wait_s=4 * 3600)
    assert ahead(old, waits(2, work_type="production", wait_s=0))[""] == 0


def test_a_centre_that_gave_goes_before_one_that_did_not() -> None:
    assert ahead(waits(1), waits(2, "birch"))[""] == 1
    assert ahead(waits(1), waits(2, "birch"), standings={})[""] == 0


def test_on_its_own_slots_a_centres_jobs_come_before_all_others() -> None:
    mine, other = waits(1, "alder", wait_s=0), waits(2, "birch", wait_s=9000)
    assert ahead(mine, other) == {"": 1, "alder": 0, "birch": 1}
    assert ahead(other, mine) == {"": 0, "alder": 1, "birch": 0}


def test_without_home_first_the_score_decides_everywhere() -> None:
    rules = RULES.model_copy(update={"home_first": False})
    assert ahead(waits(1, "alder", wait_s=0), waits(2, "birch", wait_s=9000), rules=rules) == {
        "": 1,
        "alder": 1,
        "birch": 1,
    }


def test_a_job_that_is_too_big_for_a_centre_is_in_nobodys_way_there() -> None:
    assert ahead(waits(1), waits(2, wait_s=100, cores=6)) == {"": 1, "alder": 0, "birch": 1}
    assert ahead(waits(1), waits(2, wait_s=100, cores=9))[""] == 0


def test_jobs_for_gpus_are_another_order() -> None:
    assert ahead(waits(1), waits(2, wait_s=100, gpus=1))[""] == 0


def test_the_place_shows_each_factor() -> None:
    job = waits(1, "birch", "urgent", wait_s=3600)
    place = Order([job, waits(2)], "cpu", GAVE, RULES, NOW).place(job, 0, None)
    assert (place.urgency, place.weight, place.balance, place.score) == (2, 4, 8, 64)
    assert (place.group_place, place.groups, place.waiting) == (1, 2, 2)


JOBS = st.lists(
    st.tuples(
        st.sampled_from(["alder", "birch", "cedar"]),
        st.sampled_from(["urgent", "production", "analysis", "test"]),
        st.integers(0, 100_000),
    ),
    min_size=1,
    max_size=20,
)


@given(JOBS)
def test_the_places_of_all_jobs_are_one_order(jobs: list[tuple[str, str, int]]) -> None:
    waiting = [waits(number, *job[:2], wait_s=job[2]) for number, job in enumerate(jobs)]
    order = Order(waiting, "cpu", GAVE, RULES, NOW)
    assert sorted(order.ahead(job, SHAPES)[""] for job in waiting) == list(range(len(waiting)))


@given(JOBS)
def test_on_any_slot_too(jobs: list[tuple[str, str, int]]) -> None:
    waiting = [waits(number, *job[:2], wait_s=job[2]) for number, job in enumerate(jobs)]
    order = Order(waiting, "cpu", GAVE, RULES, NOW)
    assert sorted(order.ahead(job, SHAPES)["alder"] for job in waiting) == list(range(len(waiting)))


@pytest.mark.parametrize("held", [True, False])
def test_a_wait_counts_from_the_release_of_a_job_that_was_held(held: bool) -> None:
    ad = {
        "ClusterId": 1, "ProcId": 0, "FallowUserCentre": "alder", "FallowWorkType": "test", "QDate": 10,
        "EnteredCurrentStatus": 50, "LastHoldReasonCode": 1 if held else 16,
    }  # fmt: skip
    assert waiter(ad).since == (50 if held else 10)
