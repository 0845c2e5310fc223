"""Waiting jobs in sums."""

from __future__ import annotations

from typing import Any

from fallow_matcher.matching.policy import Group
from fallow_matcher.matching.waiting import Kind, sums, waits_since

NOW = 10_000.0
FITS = Kind(("cpu",), fits=True)


def job(number: int, **other: Any) -> dict[str, Any]:
    return {
        "ClusterId": number,
        "ProcId": 0,
        "AutoClusterId": 1,
        "AccountingGroup": "alder.test.alice",
        "FallowUserCentre": "alder",
        "FallowWorkType": "test",
        "QDate": 9_000,
        "EnteredCurrentStatus": 9_900,
        "LastHoldReasonCode": 16,
        **other,
    }


def test_a_group_waits_as_long_as_its_oldest_job() -> None:
    found = sums([job(1), job(2, QDate=4_000)], lambda _: FITS, NOW)

    assert found.groups == (Group("alder", "test", "cpu", 6_000.0, 2),)
    assert found.submitters == {"alder.test.alice": ("alder", "test")}


def test_a_job_that_fits_nowhere_lends_its_age_to_nobody() -> None:
    jobs = [job(1, QDate=1, AutoClusterId=2), job(2)]

    found = sums(jobs, lambda ad: Kind(("cpu",), fits=ad["AutoClusterId"] == 1), NOW)

    assert found.groups == (Group("alder", "test", "cpu", 1_000.0, 2),)


def test_where_no_slot_fits_any_job_the_oldest_counts() -> None:
    found = sums([job(1, QDate=1)], lambda _: Kind(("cpu",), fits=False), NOW)

    assert found.groups == (Group("alder", "test", "cpu", 9_999.0, 1),)


def test_a_job_that_its_owner_held_waits_from_its_release_on() -> None:
    assert waits_since(job(1, LastHoldReasonCode=1)) == 9_900


def test_a_job_that_lost_its_pilot_waits_since_it_was_submitted() -> None:
    plain = job(1)
    del plain["LastHoldReasonCode"]

    assert waits_since(plain) == 9_000


def test_each_autocluster_is_looked_at_once() -> None:
    asked: list[int] = []

    def kind_of(ad: Any) -> Kind:
        asked.append(ad["AutoClusterId"])
        return FITS

    sums([job(number, AutoClusterId=number % 3) for number in range(30)], kind_of, NOW)

    assert sorted(asked) == [0, 1, 2]


def test_a_clock_that_went_back_makes_no_negative_wait() -> None:
    assert sums([job(1)], lambda _: FITS, 0.0).groups[0].wait_s == 0.0
