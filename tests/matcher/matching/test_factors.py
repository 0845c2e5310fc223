"""The policy's order as HTCondor's priority factors."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fallow_matcher.matching.factors import UNRANKED, changes, of_groups
from fallow_matcher.matching.policy import Group, Ranked, Score


def ranked(*places: int) -> list[Ranked]:
    return [
        Ranked(Group(f"centre{number}", "test", "cpu", 0.0, 1), Score(1.0, 1.0, 1.0, 1.0), place)
        for number, place in enumerate(places)
    ]


def test_the_first_place_has_the_lowest_factor_and_equals_share_one() -> None:
    factors = list(of_groups(ranked(1, 1, 3)).values())

    assert factors[0] == factors[1] == 1
    assert factors[2] > factors[0]


@given(st.integers(1, 1000))
def test_places_stay_apart_and_before_the_unranked(count: int) -> None:
    factors = [*of_groups(ranked(*range(1, count + 1))).values(), UNRANKED]

    assert all(worse / better > 1.01 for better, worse in pairwise(factors))


def test_the_first_places_are_a_million_apart_so_that_usage_decides_only_within_a_group() -> None:
    factors = list(of_groups(ranked(*range(1, 41))).values())

    assert all(worse / better >= 1e6 * (1 - 1e-9) for better, worse in pairwise(factors[:6]))


@given(st.integers(1, 1000))
def test_htcondor_can_take_each_factor(count: int) -> None:
    largest = 2**127  # of a number in single precision

    assert max(*of_groups(ranked(*range(1, count + 1))).values(), UNRANKED) < largest


def test_a_work_type_that_waits_in_two_classes_has_its_better_place() -> None:
    both = [
        Ranked(Group("alder", "test", resource_class, 0.0, 1), Score(1.0, 1.0, 1.0, 1.0), place)
        for place, resource_class in enumerate(("gpu", "cpu"), start=1)
    ]

    assert of_groups(both) == {("alder", "test"): 1.0}


def test_only_what_differs_is_set_and_those_who_wait_no_more_come_last() -> None:
    due = changes(
        {("alder", "test"): 1.0, ("birch", "test"): 1e6},
        {"alder.test.alice": ("alder", "test"), "birch.test.bob": ("birch", "test")},
        {"alder.test.alice": 1.0, "cedar.test.mona": 1e12, "cedar.test.old": UNRANKED},
    )

    assert due == {"birch.test.bob": 1e6, "cedar.test.mona": UNRANKED}


def test_a_rounded_factor_is_not_set_again() -> None:
    assert changes({("a", "t"): 1e12}, {"a.t.u": ("a", "t")}, {"a.t.u": 999999995857.66}) == {}
