"""The conductor: rows become jobs once, whatever is killed; failures go where they belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.matcher.campaigns.world import Hub, KilledError, Pool, plan, rows

from fallow.campaigns.messages import Change, RowState, Selection
from fallow.queue.ids import SECOND_FROM
from fallow.queue.spec import JobSpec
from fallow_matcher.campaigns import actions, query
from fallow_matcher.database import reading
from fallow_matcher.htcondor import revocation
from fallow_matcher.settings import PairSettings


def _fails(*names: str, times: int = 10**9, **ad: Any) -> Callable[[JobSpec], dict[str, Any]]:
    """An outcome: jobs of these rows end as `ad` says, so many times; all others well."""
    seen: Counter[str] = Counter()

    def outcome(spec: JobSpec) -> dict[str, Any]:
        name = spec.name.rpartition("/")[2]
        seen[name] += 1
        return dict(ad) if name in names and seen[name] <= times else {"ExitCode": 0}

    return outcome


@pytest.fixture
def pair(hub: Hub) -> tuple[Hub, Hub]:
    """Two hubs with one database."""
    hosts = PairSettings(first="hub.example.org", second="hub2.example.org")
    first, second = (
        hub.settings.model_copy(update={"pair": hosts, "host": host}) for host in (hosts.first, hosts.second)
    )
    return Hub(hub.database, first, Pool()), Hub(hub.database, second, Pool(first=SECOND_FROM))


def test_two_hubs_share_rows_out_and_what_a_lost_one_has_waits_for_it(pair: tuple[Hub, Hub]) -> None:
    first, second = pair
    first.inject(plan(max_waiting=3), rows(10))
    second.cycle()
    first.run()
    assert first.states() == {"done": 7, "queued": 3}
    second.run()
    assert second.states() == {"done": 10}
    assert Counter(first.pool.started + second.pool.started) == {f"mc/main/r{n}": 1 for n in range(10)}


@pytest.mark.parametrize("after", [False, True])
def test_rows_that_a_lost_hub_was_handing_over_wait_for_it(pair: tuple[Hub, Hub], after: bool) -> None:
    first, second = pair
    first.inject(plan(max_waiting=3), rows(10))
    second.pool.dies_at, second.pool.dies_after = 3, after
    with pytest.raises(KilledError):
        second.cycle()
    first.run()
    assert first.states() == {"done": 7, "submitting": 3}
    second.run()
    assert second.states() == {"done": 10}
    assert Counter(first.pool.started + second.pool.started) == {f"mc/main/r{n}": 1 for n in range(10)}


def jobs(hub: Hub) -> set[str]:
    """What the owner is told to be the rows' jobs."""
    with reading(hub.database) as connection:
        found = query.rows(connection, hub.find(connection), Selection(), 0, 100)
    return {row.job for row in found}


def test_the_queues_name_is_never_told_as_a_job(pair: tuple[Hub, Hub]) -> None:
    first, _ = pair
    first.inject(plan(), rows(2))
    first.pool.dies_at, first.pool.dies_after = 3, True
    with pytest.raises(KilledError):
        first.cycle()
    assert (first.states(), jobs(first)) == ({"submitting": 2}, {""})
    first.pool.end()
    first.cycle()
    assert (first.states(), jobs(first)) == ({"done": 2}, {"1.0", "2.0"})


def test_a_row_that_the_queue_refuses_has_no_job(pair: tuple[Hub, Hub]) -> None:
    first, _ = pair
    first.pool.refuses = lambda spec: True
    first.inject(plan(), rows(2))
    first.cycle()
    assert (first.states(), jobs(first)) == ({"failed": 2}, {""})


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", range(1, 13))
def test_every_row_runs_once_wherever_the_conductor_is_killed(hub: Hub, moment: int, after: bool) -> None:
    hub.inject(plan(max_waiting=3), rows(8))
    hub.pool.dies_at, hub.pool.dies_after = moment, after
    for _ in range(20):
        try:
            hub.cycle()
        except KilledError:
            continue
        hub.pool.end()
    assert hub.states() == {"done": 8}
    assert Counter(hub.pool.started) == {f"mc/main/r{number}": 1 for number in range(8)}
    assert hub.pool.ads == {}


def test_only_so_many_jobs_wait_in_the_queue(hub: Hub) -> None:
    hub.inject(plan(max_waiting=5), rows(50))
    for _ in range(3):
        hub.cycle()
    assert hub.states() == {"queued": 5, "waiting": 45}


def test_a_row_that_failed_by_its_own_doing_is_run_again_as_often_as_it_may(hub: Hub) -> None:
    hub.inject(plan(retries=2), rows(3))
    hub.run(_fails("r1", ExitCode=3))
    (failure,) = hub.status().failures
    assert (failure.failure, failure.signature, failure.rows, failure.sample) == (
        "exit",
        "exit code 3",
        1,
        "r1",
    )
    assert hub.pool.started.count("mc/main/r1") == 3
    assert hub.status().retried == 2


@pytest.mark.parametrize(
    ("ad", "failure", "signature"),
    [
        ({"ExitBySignal": True, "ExitSignal": 11}, "signal", "signal 11 (SIGSEGV)"),
        (
            {"JobStatus": 5, "HoldReasonCode": 46, "HoldReason": "too long"},
            "walltime",
            "longer than its walltime",
        ),
        (
            {"JobStatus": 5, "HoldReasonCode": 21, "HoldReasonSubCode": 102},
            "memory",
            "more memory than it asked for",
        ),
        (
            {"JobStatus": 5, "HoldReasonCode": 34, "HoldReason": "memory"},
            "memory",
            "more memory than it asked for",
        ),
        (
            {"JobStatus": 5, "HoldReasonCode": 21, "HoldReasonSubCode": 104},
            "disk",
            "more disk than it asked for",
        ),
    ],
)
def test_failures_have_a_class_and_a_signature(
    hub: Hub, ad: dict[str, Any], failure: str, signature: str
) -> None:
    hub.inject(plan(), rows(2))
    hub.run(_fails("r1", **ad))
    (found,) = hub.status().failures
    assert (found.failure, found.signature) == (failure, signature)
    assert hub.states() == {"done": 1, "failed": 1}


def test_a_row_whose_job_the_killed_queue_never_let_go_is_submitted_again(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    hub.cycle()
    coming = {"JobStatus": 5, "HoldReasonCode": 16, "EnteredCurrentStatus": int(hub.pool.clock)}
    hub.pool.ads["1.0"].update(coming)
    hub.cycle()
    assert list(hub.pool.ads) == ["1.0"]
    hub.pool.clock += 61
    hub.run()
    assert hub.states() == {"done": 1}
    assert hub.pool.gone["1.0"]["JobStatus"] == 3


def test_a_node_that_fails_costs_the_row_nothing_and_is_avoided(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    hub.run(
        _fails("r0", times=2, JobStatus=5, HoldReasonCode=6, HoldReason="Cannot start on 10.0.0.7 slot 12")
    )
    assert hub.states() == {"done": 1}
    assert hub.pool.specs["3.0"].requirements == (
        'TARGET.FallowPilot =!= "south-1" && TARGET.FallowPilot =!= "south-2"'
    )


def test_a_row_that_no_node_can_run_fails_with_what_they_had_in_common(hub: Hub) -> None:
    hub.inject(plan(infrastructure_retries=2), rows(2))
    node = iter(range(100))
    fault = {"JobStatus": 5, "HoldReasonCode": 6}
    hub.run(
        lambda spec: {**fault, "HoldReason": f"Cannot start on node{next(node)} in /var/x/{next(node)}/log"}
    )
    (failure,) = hub.status().failures
    assert (failure.failure, failure.signature, failure.rows) == ("node", "Cannot start on node# in …/log", 2)


def test_a_bad_row_never_blocks_the_rest(hub: Hub) -> None:
    hub.pool.refuses = lambda spec: spec.name.endswith("/r1")
    hub.inject(plan(stages=[{"environment": {"X": "{x}"}}]), [*rows(3), ("bad", ["bad", "$HOME"])])
    hub.run()
    assert hub.states() == {"done": 2, "failed": 2}
    assert {failure.failure: failure.sample for failure in hub.status().failures} == {
        "refused": "r1",
        "row": "bad",
    }


def test_a_campaign_that_fails_massively_pauses_itself_and_says_why(hub: Hub) -> None:
    hub.inject(plan(max_waiting=10, pause={"share": 0.5, "of": 10}), rows(100))
    hub.run(lambda spec: {"ExitCode": 3})
    found = hub.status().campaign
    assert (found.state.value, found.failed) == ("paused", 20)
    assert found.reason == "Paused itself: 10 of the last 10 rows failed, most with exit code 3."
    hub.act(actions.resume)
    hub.act(actions.retry, Selection())
    hub.run(cycles=30)
    assert hub.states() == {"done": 100}


def test_a_pause_takes_back_what_waits_and_lets_run_what_runs(hub: Hub) -> None:
    hub.inject(plan(), rows(4))
    hub.cycle()
    hub.pool.ads["1.0"]["JobStatus"] = 2
    hub.act(lambda at, found, now: actions.pause(at, found, "Paused.", now))
    for _ in range(3):
        hub.cycle()
    assert hub.states() == {"running": 1, "waiting": 3}
    hub.pool.ads["1.0"]["JobStatus"] = 1
    hub.pool.end()
    hub.act(actions.resume)
    hub.run(cycles=4)
    assert hub.states() == {"done": 4}
    assert len(hub.pool.started) == 4
    assert hub.status().retried == 0


def test_a_cancelled_campaign_leaves_nothing_behind(hub: Hub) -> None:
    hub.inject(plan(max_waiting=2), rows(4))
    hub.cycle()
    hub.pool.ads["1.0"]["JobStatus"] = 2
    assert hub.act(actions.cancel) == 4
    for _ in range(3):
        hub.cycle()
    assert hub.states() == {"cancelled": 4}
    assert hub.pool.ads == {}


def test_what_waits_gets_new_resources_and_a_new_priority(hub: Hub) -> None:
    hub.inject(plan(), rows(2))
    hub.cycle()
    hub.act(actions.change, Change(priority=7))
    hub.cycle()
    assert {ad["JobPrio"] for ad in hub.pool.ads.values()} == {7}
    hub.act(actions.change, Change(memory_mb=4096))
    for _ in range(4):
        hub.cycle()
    assert [(hub.pool.specs[job].memory_mb, ad["JobStatus"]) for job, ad in hub.pool.ads.items()] == [
        (4096, 1)
    ] * 2


def test_failed_rows_are_run_again_by_condition(hub: Hub) -> None:
    hub.inject(plan(), rows(5))
    hub.run(_fails("r1", "r2", times=1, ExitCode=3), cycles=4)
    assert hub.act(actions.retry, Selection(exit_code=4)) == 0
    assert hub.act(actions.retry, Selection(exit_code=3, ids=["r1"])) == 1
    hub.run(cycles=4)
    assert hub.states() == {"done": 4, "failed": 1}


def test_a_job_that_somebody_removed_is_told_and_can_be_retried(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    hub.cycle()
    hub.pool.gone["1.0"] = {**hub.pool.ads.pop("1.0"), "JobStatus": 3, "RemoveReason": "via condor_rm"}
    hub.cycle()
    assert hub.states() == {"cancelled": 1}
    hub.act(actions.retry, Selection(state=RowState.CANCELLED))
    hub.run(cycles=3)
    assert hub.states() == {"done": 1}


def test_somebody_elses_job_with_a_campaigns_name_is_left_alone(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    hub.cycle()
    mine = hub.pool.ads["1.0"]
    hub.pool.ads["99.0"] = {**mine, "ClusterId": 99, "Owner": "south.mallory", "JobStatus": 4, "ExitCode": 0}
    hub.cycle()
    assert hub.states() == {"queued": 1}
    assert "99.0" in hub.pool.ads


def test_a_stage_starts_row_by_row_or_when_all_are_done(hub: Hub) -> None:
    stages = [
        {"name": "one"},
        {"name": "each", "after": "one", "start": "row"},
        {"name": "all", "after": "each"},
    ]
    hub.inject(plan(stages=stages), rows(3))
    hub.run(_fails("r2", times=1, ExitCode=1), cycles=8)
    assert hub.states() == {"done": 4, "failed": 1, "blocked": 4}
    assert hub.status().campaign.reason == "4 rows wait for rows that failed or were cancelled; retry these."
    hub.act(actions.retry, Selection())
    hub.run(cycles=8)
    assert hub.states() == {"done": 9}
    order = [name.split("/")[1:] for name in hub.pool.started]
    assert order.index(["each", "r0"]) < order.index(["all", "r0"])
    assert order[-3:] == [["all", "r0"], ["all", "r1"], ["all", "r2"]]


def test_a_campaign_waits_for_an_earlier_one(hub: Hub) -> None:
    hub.inject(plan("second", after=["mc"]), rows(1))
    hub.cycle()
    assert hub.status("second").campaign.reason == "It waits for mc."
    hub.inject(plan(), rows(1))
    hub.run(cycles=5)
    assert hub.states("second") == {"done": 1}
    assert hub.pool.started == ["mc/main/r0", "second/main/r0"]


def test_nothing_starts_for_a_revoked_centre(hub: Hub) -> None:
    hub.inject(plan(), rows(1))
    path = revocation.file_of(hub.settings)
    revoked = revocation.add(revocation.read(path), centre="north", jti=None)
    path.write_text(revocation.render(revoked, hub.settings.trust_domain))
    assert hub.cycle() == 0
    assert hub.status().campaign.reason == "The centre north is revoked."
