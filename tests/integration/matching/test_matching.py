"""The policy holds on a real pool: centres that compete, work that ages, a matcher that is killed."""

from __future__ import annotations

import collections
import time
from statistics import mean

import pytest
from tests.integration.matching import reality
from tests.integration.matching.pool import PROVIDER, SLOTS, Job, Pool
from tests.matcher.matching.trade import Place

from fallow.rules import default_text, parse_rules
from fallow_matcher.matching.policy import Group, order
from fallow_testbed import hub
from fallow_testbed.wait import wait_until

RULES = parse_rules(default_text())
CYCLE_S = 4
"""A cycle of the matcher and one of the negotiator: a match follows from what was there that long before, and of jobs that
are matched within as long nobody can say which should have been the first."""


def centre(job: Job) -> str:
    return job.owner.split(".")[0]


@pytest.fixture(scope="module")
def race(pool: Pool) -> list[Job]:
    """Jobs of four centres that all want the same slots, in the order of their matches.

    Strangers come while all slots are held; the provider's own come last, while strangers hold its slots.
    """
    block(pool, "race-blockers")
    pool.submit("mona", "race-cedar", 10)
    pool.submit("dora", "race-doum", 6)
    pool.submit("bob", "race-birch", 14)
    wait_until(
        lambda: sum(job.done for job in pool.jobs(["race-birch", "race-cedar", "race-doum"])) >= 4,
        "the first jobs of strangers",
        60,
        pause_s=0.3,
    )
    pool.submit("alice", "race-alder", 2)
    pool.ended("race-blockers")
    return pool.ended("race-alder", "race-birch", "race-cedar", "race-doum")


def block(pool: Pool, run: str) -> None:
    """Have all slots held for a while."""
    pool.submit("alice", run, SLOTS, seconds=12)
    wait_until(lambda: all(job.started for job in pool.jobs([run])), "jobs on all slots", 60)


def expected(jobs: list[Job], standings: dict[tuple[str, str], Place]) -> list[tuple[str, str]]:
    """Who was matched and who should have been, once three cycles with competition have passed: the policy, asked again."""
    first = max(job.submitted for job in jobs if centre(job) != PROVIDER)
    pairs = []
    for job in jobs:
        assert job.matched is not None
        waiting: dict[str, list[float]] = collections.defaultdict(list)
        for other in jobs:
            earlier = other.submitted <= job.matched - CYCLE_S
            if other is job or (earlier and (other.matched or 0) >= job.matched + CYCLE_S):
                waiting[centre(other)].append(other.submitted)
        if job.matched < first + 3 * CYCLE_S or len(waiting) < 2:
            continue
        groups = [
            Group(name, "analysis", "cpu", job.matched - min(since), len(since))
            for name, since in waiting.items()
        ]
        pairs.append((centre(job), order(groups, standings, RULES, PROVIDER)[0].group.centre))
    return pairs


def test_the_share_of_slots_follows_the_policy(pool: Pool, race: list[Job]) -> None:
    standings = {
        ("alder", "cpu"): Place(1.0, 1.0),
        ("birch", "cpu"): Place(1.0, 1.0),
        ("cedar", "cpu"): Place(-1.0, 1.0),
    }
    pairs = expected(race, standings)
    print(f"{len(pairs)} matches with competition: {pairs}")

    assert len(pairs) >= 8
    for name in ("alder", "birch", "cedar", "doum"):
        got, due = (sum(pair[which] == name for pair in pairs) / len(pairs) for which in (0, 1))
        # ten points, or one job where there are fewer than ten to compare
        told = " ".join(f"{was}/{should}" for was, should in pairs)
        assert abs(got - due) <= max(0.10, 1 / len(pairs)), f"{name}: {got:.2f}, due {due:.2f}: {told}"


def test_the_free_rider_waits_longer_than_who_gives(race: list[Job]) -> None:
    waits = {
        name: mean((job.started or 0) - job.submitted for job in race if centre(job) == name)
        for name in ("alder", "birch", "cedar")
    }

    assert waits["alder"] < waits["birch"] < waits["cedar"]


def test_a_rider_that_returns_under_another_name_comes_no_sooner(race: list[Job]) -> None:
    """Nobody knows doum. Its work came a moment after the rider's, and that is its place."""
    order_of = [centre(job) for job in race]
    last = {name: len(order_of) - order_of[::-1].index(name) for name in ("birch", "cedar", "doum")}

    assert last["birch"] < last["doum"]
    places = {name: [n for n, each in enumerate(order_of) if each == name] for name in ("cedar", "doum")}
    # Both stand at the floor and take turns, so the same number of jobs of each is compared, by up to one turn.
    assert mean(places["cedar"][: len(places["doum"])]) <= mean(places["doum"]) + 2


def test_a_centres_own_job_takes_the_next_of_its_slots_that_frees_up(race: list[Job]) -> None:
    for own in (job for job in race if centre(job) == PROVIDER):
        passed = [
            job
            for job in race
            if centre(job) != PROVIDER and own.submitted + CYCLE_S <= (job.matched or 0) < (own.matched or 0)
        ]
        assert passed == []


def test_the_simulator_foretells_the_order_of_the_centres_and_their_waits(pool: Pool) -> None:
    jobs, free = reality.ran(pool)
    was, foretold = reality.seen(jobs), reality.foretold(jobs, free)
    print(f"waits on the pool {was}, foretold {foretold}, pause {reality.pause_s(jobs, free)} s")

    assert reality.by_wait(foretold) == reality.by_wait(was)
    for name, waited in was.items():
        # Waits come in steps of a job's length: half of one is as near as a short wait can be foretold.
        assert foretold[name] == pytest.approx(waited, rel=0.2, abs=reality.SECONDS / 2), (
            name,
            was,
            foretold,
        )


AGED = """
JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) Aged
JOB_TRANSFORM_Aged @=end
  REQUIREMENTS FallowRun =?= "old"
  EVALSET QDate time() - 25200
@end
"""
"""The hub takes the jobs of one run for seven hours old."""


def test_an_old_test_job_overtakes_fresh_production(pool: Pool) -> None:
    """After seven hours `test` with its weight of a half scores 4, fresh `production` 2."""
    config = pool.hub.files / "etc/fallow/condor/condor_config"
    before = config.read_text()
    config.write_text(before + AGED)
    pool.operator("condor_reconfig")
    block(pool, "blockers")
    pool.submit("mona", "fresh", 8, work_type="production")
    pool.submit("mona", "old", 1, work_type="test")
    came = time.time()
    wait_until(lambda: ("cedar", "test") in pool.places(), "the matcher's look at the old job", 30)
    places = pool.places()
    config.write_text(before)
    pool.operator("condor_reconfig")

    pool.ended("blockers")
    jobs = pool.ended("fresh", "old")

    old = min(jobs, key=lambda job: job.submitted)
    assert old.submitted < came - 20_000
    assert places[("cedar", "test")] < places.get(("cedar", "production"), 2)
    assert [job for job in jobs if came + CYCLE_S <= (job.matched or 0) < (old.matched or 0)] == []


def test_two_users_of_one_group_share_fairly(pool: Pool) -> None:
    block(pool, "share-blockers")
    pool.submit("carl", "share-carl", 12)
    pool.submit("cora", "share-cora", 12)

    pool.ended("share-blockers")
    jobs = pool.ended("share-carl", "share-cora")

    by_carl = sum(job.owner == "cedar.carl" for job in jobs[:16])
    assert 5 <= by_carl <= 11


def test_a_restricted_work_type_takes_a_group_in_the_token(pool: Pool) -> None:
    with pytest.raises(AssertionError, match="This work type is for members of the group"):
        pool.submit("bob", "urgent-bob", 1, work_type="urgent")
    pool.submit("mona", "urgent-mona", 1, work_type="urgent")

    assert [job.owner for job in pool.ended("urgent-mona")] == ["cedar.mona"]


def test_jobs_run_while_no_matcher_does_and_a_second_one_waits_for_its_turn(pool: Pool) -> None:
    (first,) = pool.matchers()
    pool.start_matcher()
    wait_until(lambda: len(pool.matchers()) == 2, "a second matcher", 20)
    log = pool.hub.files / "var/log/fallow/matcher.log"
    wait_until(lambda: "another matcher acts" in log.read_text(), "the second matcher's word", 20)
    refused = pool.hub.run(["fallow", "hub", "matcher", "--once"], user=hub.ACCOUNT, check=False)
    assert "Another matcher acts" in refused.stderr
    before = pool.decision()["at"]

    pool.hub.run(["kill", "-9", str(first)])

    wait_until(lambda: pool.decision()["at"] > before, "a decision of the second matcher", 30)
    (second,) = pool.matchers()
    pool.hub.run(["kill", "-9", str(second)])
    pool.submit("mona", "alone", 2)
    assert all(job.started for job in pool.ended("alone"))
    pool.start_matcher()
    wait_until(lambda: len(pool.matchers()) == 1, "a matcher", 20)


def test_a_matcher_killed_at_work_leaves_an_order_that_its_successor_mends(pool: Pool) -> None:
    pool.submit("bob", "killed-bob", 8, seconds=3)
    pool.submit("mona", "killed-mona", 8, work_type="production", seconds=3)
    for _ in range(4):
        (matcher,) = pool.matchers()
        before = pool.decision()["at"]
        pool.start_matcher()
        wait_until(lambda: len(pool.matchers()) == 2, "a successor", 20)
        pool.hub.run(["kill", "-9", str(matcher)])
        wait_until(lambda: pool.decision()["at"] > before, "a decision of the successor", 30)  # noqa: B023

    jobs = pool.ended("killed-bob", "killed-mona")
    assert len(jobs) == 16


def test_a_restarted_negotiator_goes_on_with_the_last_decision(pool: Pool) -> None:
    pool.submit("bob", "restart-bob", 10, seconds=3)
    pool.submit("mona", "restart-mona", 10, seconds=3)
    wait_until(lambda: pool.places().get(("birch", "analysis")) == 1, "the matcher's decision", 30)

    pool.operator("condor_restart", "-subsystem", "negotiator")

    jobs = pool.ended("restart-bob", "restart-mona")
    assert mean(n for n, job in enumerate(jobs) if centre(job) == "birch") < mean(
        n for n, job in enumerate(jobs) if centre(job) == "cedar"
    )
