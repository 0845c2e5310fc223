"""The simulation: what theory says for simple cases, and what must hold for all."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.rules import default_text, parse_rules
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import Run, simulate
from fallow_matcher.simulation.policies import ByRules, FairShare, FirstCome, Isolated, Policy
from fallow_matcher.simulation.workload import Job, Step, Workload, steady

RULES = parse_rules(default_text())
POLICIES: list[Policy] = [
    ByRules(RULES),
    FirstCome(),
    ByRules(RULES, takes_back=True),
    FairShare(),
    Isolated(),
]
CENTRES = ("alder", "birch", "cedar")


def job(centre: str, at_s: float, wall_s: float = 10, units: int = 1, **more: str) -> Job:
    return Job(centre, at_s, wall_s, wall_s, units, **{"work_type": "analysis", **more})


def run(workload: Workload, policy: Policy | None = None) -> tuple[list[Run], Books]:
    books = Books(RULES)
    return simulate(workload, policy or ByRules(RULES), books).runs, books


WORKLOADS = st.builds(
    Workload,
    st.lists(
        st.builds(
            Job,
            st.sampled_from(CENTRES),
            st.integers(0, 500).map(float),
            st.integers(1, 100).map(float),
            st.integers(1, 200).map(float),
            st.integers(1, 3),
            st.sampled_from(["urgent", "test"]),
        ),
        max_size=40,
    ),
    st.builds(
        lambda sizes, changes: [*steady(dict(zip(CENTRES, sizes, strict=True))), *changes],
        st.tuples(st.integers(3, 6), st.integers(0, 4), st.integers(0, 4)),
        st.lists(
            st.builds(Step, st.sampled_from(CENTRES[1:]), st.integers(0, 600).map(float), st.integers(0, 6)),
            max_size=4,
        ),
    ),
)


@pytest.mark.parametrize("policy", POLICIES[:-1])
@given(workload=WORKLOADS)
def test_no_job_is_lost_doubled_or_early(policy: Policy, workload: Workload) -> None:
    runs, _ = run(workload, policy)
    assert sorted(map(repr, (each.job for each in runs))) == sorted(map(repr, workload.jobs))
    assert all(each.wait_s >= 0 for each in runs)


@pytest.mark.parametrize("policy", POLICIES)
@given(workload=WORKLOADS)
def test_no_job_starts_where_there_is_no_room(policy: Policy, workload: Workload) -> None:
    runs, _ = run(workload, policy)
    for started in runs:
        now_s = started.started_s
        busy = sum(
            other.job.units
            for other in runs
            if other.provider == started.provider
            and other.started_s <= now_s < other.started_s + other.job.wall_s
        )
        steps = [step for step in workload.capacity if step.centre == started.provider and step.at_s <= now_s]
        # Jobs that were there before the capacity shrank may hold more than there is now.
        before = [other for other in runs if other.provider == started.provider and other.started_s < now_s]
        assert busy <= max(step.units for step in steps) or not before


@given(workload=WORKLOADS)
def test_what_all_gave_and_used_is_zero(workload: Workload) -> None:
    _, books = run(workload)
    assert sum(account.balance for account in books.values()) == pytest.approx(0, abs=1e-6)


@given(workload=WORKLOADS)
def test_the_same_workload_gives_the_same_runs(workload: Workload) -> None:
    assert run(workload)[0] == run(workload)[0]


@given(workload=WORKLOADS)
def test_isolated_centres_run_only_their_own(workload: Workload) -> None:
    assert all(each.provider == each.job.centre for each in run(workload, Isolated())[0])


def test_jobs_at_even_pace_wait_as_the_arithmetic_says() -> None:
    """D/D/1 above full load: the n-th job waits n times what each comes too early."""
    jobs = [job("alder", 8.0 * number) for number in range(50)]
    runs, _ = run(Workload(jobs, steady({"alder": 1})), FirstCome())
    assert [each.wait_s for each in runs] == pytest.approx([2.0 * number for number in range(50)])


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (4, 0.6)])
def test_random_arrivals_wait_as_erlang_says(servers: int, load: float) -> None:
    """M/M/c: the mean wait is C(c, a) / (c mu - lambda), with Erlang's C."""
    dice = random.Random(7)
    rate = load * servers  # jobs of mean length 1 s
    offered, term, total = rate, 1.0, 1.0
    for number in range(1, servers):
        term *= offered / number
        total += term
    last = term * offered / servers / (1 - load)
    expected_s = last / (total + last) / (servers - rate)
    now_s, jobs = 0.0, []
    for _ in range(40_000):
        now_s += dice.expovariate(rate)
        jobs.append(job("alder", now_s, dice.expovariate(1)))
    runs, _ = run(Workload(jobs, steady({"alder": servers})), FirstCome())
    assert sum(each.wait_s for each in runs) / len(runs) == pytest.approx(expected_s, rel=0.1)


def test_a_centres_own_job_takes_its_next_free_core() -> None:
    jobs = [job("birch", 0.0), job("birch", 1.0), job("alder", 5.0)]
    runs, _ = run(Workload(jobs, steady({"alder": 1, "birch": 0})))
    assert [(each.job.centre, each.started_s) for each in runs] == [
        ("birch", 0),
        ("alder", 10),
        ("birch", 20),
    ]


def test_without_home_first_the_higher_score_goes_first() -> None:
    text = default_text().replace("home_first = true", "home_first = false")
    rules = parse_rules(text.replace("balance_factor = 8", "balance_factor = 1"))
    jobs = [job("birch", 0.0), job("birch", 5.0, work_type="urgent"), job("alder", 1.0)]
    runs, _ = run(Workload(jobs, steady({"alder": 1, "birch": 0})), ByRules(rules))
    assert [each.job.centre for each in runs] == ["birch", "birch", "alder"]


def test_symmetric_centres_wait_alike() -> None:
    dice = random.Random(3)
    stream = [(dice.uniform(0, 20_000), dice.expovariate(1 / 50)) for _ in range(1_000)]
    jobs = [job(centre, at_s, wall_s) for at_s, wall_s in stream for centre in CENTRES]
    runs, _ = run(Workload(jobs, steady(dict.fromkeys(CENTRES, 3))))
    waits: dict[str, float] = defaultdict(float)
    for each in runs:
        waits[each.job.centre] += each.wait_s / 1_000
    assert min(waits.values()) > 1
    assert max(waits.values()) < 1.2 * min(waits.values())


def test_a_wide_job_does_not_hold_up_a_narrow_one() -> None:
    jobs = [job("alder", 0.0, 100, 1), job("alder", 1.0, 10, 2), job("alder", 2.0, 10, 1)]
    runs, _ = run(Workload(jobs, steady({"alder": 2})))
    assert [(each.job.units, each.started_s) for each in runs] == [(1, 0), (1, 2), (2, 100)]


def test_gpu_jobs_use_gpus_only() -> None:
    jobs = [job("alder", 0.0), job("alder", 0.0, resource_class="a100")]
    steps = [*steady({"alder": 1}), Step("birch", 0.0, 1, "a100")]
    runs, books = run(Workload(jobs, steps))
    assert sorted((each.job.resource_class, each.provider, each.wait_s) for each in runs) == [
        ("a100", "birch", 0),
        ("cpu", "alder", 0),
    ]
    assert set(books) == {("alder", "a100"), ("birch", "a100")}


def test_an_exchange_is_charged_as_asked_for_and_settled_as_used() -> None:
    jobs = [Job("birch", 0.0, 100.0, 1000.0, 2, "analysis"), job("birch", 50.0, 1.0)]
    books = Books(RULES)
    charged = {}

    class Watching(ByRules):
        def places(self, group, providers, seen):  # type: ignore[no-untyped-def]
            if seen.now_s == 50:
                charged.update({centre: account.balance for (centre, _), account in seen.items()})
            return super().places(group, providers, seen)

    simulate(Workload(jobs, steady({"alder": 3})), Watching(RULES), books)
    assert charged == pytest.approx({"alder": 2000, "birch": -2000}, rel=1e-3)
    assert books["alder", "cpu"].balance == pytest.approx(201, rel=1e-3)
