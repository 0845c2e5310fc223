"""Pilots, withdrawals, evictions: what comes and goes while jobs run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallow.rules import CPU, default_text, parse_rules
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import Result, Run, simulate
from fallow_matcher.simulation.policies import ByRules, Policy
from fallow_matcher.simulation.workload import Job, Pilots, Step, Workload, steady

RULES = parse_rules(default_text())
CENTRES = ("alder", "birch", "cedar")

jobs = st.lists(
    st.builds(
        Job,
        st.sampled_from(CENTRES),
        st.integers(0, 500).map(float),
        st.integers(1, 120).map(float),
        st.integers(1, 120).map(float),
        st.integers(1, 3),
    ),
    max_size=40,
)
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(CENTRES[1:]),
        st.integers(0, 600).map(float),
        st.integers(0, 8),
        evicts=st.booleans(),
        private=st.booleans(),
    ),
    max_size=6,
)
pilots = st.dictionaries(
    st.sampled_from([(centre, CPU) for centre in CENTRES]),
    st.builds(Pilots, st.integers(1, 4), st.integers(0, 30).map(float), st.integers(50, 200).map(float)),
)
workloads = st.builds(
    lambda work, sizes, changes, like: Workload(
        work, [*steady(dict(zip(CENTRES, sizes, strict=True))), *changes], like
    ),
    jobs,
    st.tuples(st.integers(0, 8), st.integers(0, 6), st.integers(0, 6)),
    steps,
    pilots,
)


def job(centre: str, at_s: float, wall_s: float = 10, units: int = 1) -> Job:
    return Job(centre, at_s, wall_s, wall_s, units)


def run(workload: Workload, policy: Policy | None = None) -> tuple[Result, Books]:
    books = Books(RULES)
    return simulate(workload, policy or ByRules(RULES), books), books


def told(runs: list[Run]) -> list[tuple[str, float, float]]:
    return [(each.provider, each.started_s, each.ended_s) for each in runs]


@settings(deadline=None)
@given(workloads, st.booleans())
def test_every_job_runs_once_or_is_named_as_not_served(workload: Workload, takes_back: bool) -> None:
    result, _ = run(workload, ByRules(RULES, takes_back=takes_back))

    known = [each.job for each in result.runs] + result.unserved
    assert sorted(map(repr, known)) == sorted(map(repr, workload.jobs))
    assert {id(each.job) for each in result.evicted} <= set(map(id, workload.jobs))


@settings(deadline=None)
@given(workloads, st.booleans())
def test_what_evicts_leaves_no_more_running_than_there_is_room_for(
    workload: Workload, takes_back: bool
) -> None:
    sharp = replace(workload, capacity=[replace(step, evicts=True) for step in workload.capacity])
    result, _ = run(sharp, ByRules(RULES, takes_back=takes_back))

    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for each in [*result.runs, *result.evicted]:
        if each.ended_s > each.started_s:
            changes[each.provider] += [(each.started_s, each.job.units), (each.ended_s, -each.job.units)]
    for centre, of in changes.items():
        busy = 0
        for at_s, units in sorted(of):
            busy += units
            here: dict[bool, int] = {}
            for step in sorted(sharp.capacity, key=lambda one: one.at_s):
                if step.centre == centre and step.at_s <= at_s:
                    here[step.private] = step.units
            assert units < 0 or busy <= sum(here.values())


@settings(deadline=None)
@given(workloads, st.booleans())
def test_balances_sum_to_zero_whoever_is_evicted(workload: Workload, takes_back: bool) -> None:
    _, books = run(workload, ByRules(RULES, takes_back=takes_back))

    assert sum(account.balance for account in books.values()) == pytest.approx(0, abs=1e-6)


@settings(deadline=None)
@given(workloads)
def test_the_same_workload_gives_the_same_result(workload: Workload) -> None:
    assert run(workload)[0] == run(workload)[0]


def test_a_withdrawal_sends_the_youngest_back_and_nobody_is_charged() -> None:
    capacity = [*steady({"alder": 2}), Step("alder", 5, 1, evicts=True), Step("alder", 50, 0, evicts=True)]
    result, books = run(
        Workload([job("birch", 0, 100), job("birch", 1, 20)], [*capacity, Step("alder", 60, 2)])
    )

    assert told(result.evicted) == [("alder", 1, 5), ("alder", 0, 50)]
    assert sorted(told(result.runs)) == [("alder", 60, 80), ("alder", 60, 160)]
    assert books["alder", CPU].contributed == pytest.approx(120, rel=1e-3)


def test_capacity_that_shrinks_lets_run_what_runs() -> None:
    result, _ = run(Workload([job("alder", 0, 100)], [*steady({"alder": 1}), Step("alder", 5, 0)]))

    assert told(result.runs) == [("alder", 0, 100)]


def test_a_pilot_takes_jobs_when_it_has_started() -> None:
    capacity = [Step("alder", 0, 0), Step("alder", 10, 4)]
    result, _ = run(Workload([job("alder", 0)], capacity, {("alder", CPU): Pilots(4, 30, 1000)}))

    assert told(result.runs) == [("alder", 40, 50)]


def test_a_job_starts_only_in_a_pilot_that_lives_long_enough() -> None:
    workload = Workload(
        [job("alder", 0, 10), job("alder", 60, 50), job("alder", 60, 200)],
        steady({"alder": 1}),
        {("alder", CPU): Pilots(1, 5, 100)},
    )
    result, _ = run(workload)

    assert told(result.runs) == [("alder", 0, 10), ("alder", 105, 155)]
    assert [each.wall_s for each in result.unserved] == [200]


def test_a_job_in_a_pilot_ends_after_what_it_asked_for() -> None:
    workload = Workload([Job("alder", 0, 80, 20)], steady({"alder": 1}), {("alder", CPU): Pilots(1, 5, 100)})

    assert told(run(workload)[0].runs) == [("alder", 0, 20)]


def test_private_units_run_the_centres_own_jobs_only() -> None:
    capacity = [*steady({"birch": 0}), Step("alder", 0, 1, private=True)]
    result, books = run(Workload([job("birch", 0), job("alder", 5)], capacity))

    assert told(result.runs) == [("alder", 5, 15)]
    assert [each.centre for each in result.unserved] == ["birch"]
    assert not books


def test_a_slow_centre_takes_longer_and_is_credited_with_what_it_took() -> None:
    result, books = run(Workload([Job("birch", 0, 10, 100)], steady({"alder": 1}), speed={"alder": 0.5}))

    assert told(result.runs) == [("alder", 0, 20)]
    assert books["alder", CPU].contributed == pytest.approx(20)


def test_a_centre_that_takes_back_ends_a_strangers_youngest_job() -> None:
    work = [job("birch", 0, 100), job("birch", 1, 100), job("alder", 10)]
    result, _ = run(Workload(work, steady({"alder": 2})), ByRules(RULES, takes_back=True))

    assert told(result.evicted) == [("alder", 1, 10)]
    assert told(result.runs) == [("alder", 0, 100), ("alder", 10, 20), ("alder", 20, 120)]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.builds(job, st.sampled_from(CENTRES), st.integers(0, 300), st.integers(1, 100)), max_size=40),
    st.integers(1, 4),
)
def test_who_takes_back_never_waits_while_a_stranger_has_its_place(work: list[Job], cores: int) -> None:
    """Jobs of one core."""
    result, _ = run(Workload(work, steady(dict.fromkeys(CENTRES, cores))), ByRules(RULES, takes_back=True))

    held: dict[int, list[Run]] = defaultdict(list)
    for each in sorted([*result.runs, *result.evicted], key=lambda one: one.started_s):
        held[id(each.job)].append(each)
    waits = [
        (own.job.centre, since_s, own.started_s)
        for of in held.values()
        for since_s, own in zip([of[0].job.submitted_s, *(before.ended_s for before in of)], of, strict=False)
    ]
    strangers = [each for each in [*result.runs, *result.evicted] if each.provider != each.job.centre]
    for centre, since_s, until_s in waits:
        for each in strangers:
            if each.provider == centre:
                assert min(until_s, each.ended_s) <= max(since_s, each.started_s)
