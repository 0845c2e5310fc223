"""The launcher's rule: examples for each clause, and properties that no situation may break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.batch.model import Node, Spare
from fallow_pilots.decision import Decision, decide
from fallow_pilots.policy import Policy
from fallow_pilots.record import PilotRecord, State

Policies = Callable[..., Policy]
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def idle_nodes(count: int, **values: Any) -> Spare:
    node = Node("", 4, 8000, 0, idle=True)
    return Spare(tuple(replace(node, name=f"n{index}", **values) for index in range(count)))


def pilot(serial: int = 1, state: State = State.RUNNING, **values: Any) -> PilotRecord:
    base: dict[str, Any] = {"submitted": ago(50), "cores": 4, "gpus": 0, "walltime_s": 3600, "native_id": "7"}
    if state is State.RUNNING:
        base |= {"started": ago(50), "node": f"own{serial}"}
    return PilotRecord(f"alder-{serial}", state, **{**base, **values})


def ended(serial: int, seconds_ago: float, code: int | None, lived_s: float = 50) -> PilotRecord:
    started = ago(seconds_ago + lived_s)
    return pilot(serial, State.ENDED, code=code, submitted=started, started=started, ended=ago(seconds_ago))


def limited_by(decision: Decision, clause: str, launch: int) -> None:
    assert (decision.clause, decision.launch) == (clause, launch), decision


def test_each_idle_node_takes_one_pilot(policy_of: Policies) -> None:
    limited_by(
        decide(policy_of(), idle_nodes(3, cores_free=64, memory_mb_free=99999), [], NOW), "spare capacity", 3
    )


def test_pilots_that_have_yet_to_start_will_take_idle_nodes(policy_of: Policies) -> None:
    own = [pilot(1, State.QUEUED), pilot(2, State.INTENT), pilot(3)]
    limited_by(decide(policy_of(), idle_nodes(3), own, NOW), "spare capacity", 1)


@pytest.mark.parametrize("short", [{"cores_free": 3}, {"memory_mb_free": 1999}, {"idle": False}])
def test_a_node_that_is_too_small_or_in_use_takes_none(policy_of: Policies, short: dict[str, Any]) -> None:
    limited_by(decide(policy_of(), idle_nodes(3, **short), [], NOW), "spare capacity", 0)


def test_part_of_a_node_will_do_where_the_policy_says_so(policy_of: Policies) -> None:
    policy = policy_of(when={"only_idle_nodes": False})
    limited_by(decide(policy, idle_nodes(2, idle=False), [], NOW), "spare capacity", 2)


def test_a_pilot_with_gpus_needs_a_node_with_gpus(policy_of: Policies) -> None:
    policy = policy_of(pilot={"gpus": 2})
    assert decide(policy, idle_nodes(2, gpus_free=1), [], NOW).launch == 0
    assert decide(policy, idle_nodes(2, gpus_free=2), [], NOW).launch == 2


def test_a_node_counts_once_it_has_been_idle_for_long_enough(policy_of: Policies) -> None:
    policy = policy_of(when={"node_idle_s": 600})
    since = {"n0": ago(600), "n1": ago(599)}
    limited_by(decide(policy, idle_nodes(3), [], NOW, idle_since=since), "spare capacity", 1)


@pytest.mark.parametrize(
    ("limits", "clause", "launch"),
    [
        ({"max_pilots": 4}, "limits.max_pilots", 2),
        ({"max_pilots": 1}, "limits.max_pilots", 0),
        ({"max_pilots": 0}, "limits.max_pilots", 0),
        ({"max_cores": 15}, "limits.max_cores", 1),
        ({"max_nodes": 3}, "limits.max_nodes", 1),
        ({"share_of_idle": 0.5}, "limits.share_of_idle", 2),
        ({"share_of_idle": 0.0}, "limits.share_of_idle", 0),
        ({"core_hours_per_day": 16.0}, "limits.core_hours_per_day", 2),
        ({"core_hours_per_day": 0}, "limits.core_hours_per_day", 0),
        ({"ramp": 0.1}, "limits.ramp", 1),
        ({"ramp": 0.25}, "limits.ramp", 3),
    ],
)
def test_the_tightest_limit_decides_and_is_named(
    policy_of: Policies, limits: dict[str, Any], clause: str, launch: int
) -> None:
    own = [pilot(1), pilot(2)]
    limited_by(decide(policy_of(limits=limits), idle_nodes(7), own, NOW), clause, launch)


def test_core_hours_of_ended_pilots_count_for_a_day(policy_of: Policies) -> None:
    policy = policy_of(limits={"core_hours_per_day": 8})
    recent = ended(1, 3600, 200, lived_s=3600)
    limited_by(decide(policy, idle_nodes(7), [recent], NOW), "limits.core_hours_per_day", 1)
    yesterday = ended(1, 24 * 3600, 200, lived_s=3600)
    limited_by(decide(policy, idle_nodes(7), [yesterday], NOW), "limits.core_hours_per_day", 2)


def test_nothing_starts_while_as_many_local_jobs_wait_as_the_policy_names(policy_of: Policies) -> None:
    policy = policy_of(when={"queue_below": 3})
    assert decide(policy, replace(idle_nodes(2), waiting=2), [], NOW).launch == 2
    limited_by(decide(policy, replace(idle_nodes(2), waiting=3), [], NOW), "when.queue_below", 0)


def test_nothing_starts_while_it_is_unknown_how_many_local_jobs_wait(policy_of: Policies) -> None:
    limited_by(decide(policy_of(when={"queue_below": 3}), idle_nodes(2), [], NOW), "when.queue_below", 0)


def test_a_pilot_ends_before_its_window_does(policy_of: Policies) -> None:
    policy = policy_of(when={"windows": [{"start": "08:00", "end": "12:30"}]})
    decision = decide(policy, idle_nodes(2), [], NOW)
    assert (decision.launch, decision.walltime_s) == (2, 1800)
    assert decision.closes == NOW + timedelta(seconds=1800)


def test_a_walltime_is_in_whole_minutes_so_that_a_pilot_knows_its_true_end(policy_of: Policies) -> None:
    policy = policy_of(when={"windows": [{"start": "08:00", "end": "12:30"}]})
    assert decide(policy, idle_nodes(2), [], NOW + timedelta(seconds=1)).walltime_s == 29 * 60


@pytest.mark.parametrize("end", ["11:00", "12:04"])
def test_nothing_starts_when_no_window_is_open_for_long_enough(policy_of: Policies, end: str) -> None:
    policy = policy_of(when={"windows": [{"start": "08:00", "end": end}]})
    limited_by(decide(policy, idle_nodes(2), [], NOW), "when.windows", 0)


def test_nothing_starts_when_halted(policy_of: Policies) -> None:
    decision = decide(policy_of(), idle_nodes(2), [], NOW, halted="The centre is withdrawn.")
    limited_by(decision, "halt", 0)
    assert decision.reason == "The centre is withdrawn."


def test_nothing_starts_without_an_answer_of_the_batch_system(policy_of: Policies) -> None:
    limited_by(decide(policy_of(), None, [], NOW), "batch", 0)


@pytest.mark.parametrize("code", [300, 301, 400, 500, 699])
def test_a_pilot_of_no_use_stops_launches_for_a_while(policy_of: Policies, code: int) -> None:
    decision = decide(policy_of(), idle_nodes(5), [ended(1, 199, code)], NOW)
    limited_by(decision, "backoff", 0)
    assert f"alder-1 ended with code {code}" in decision.reason


@pytest.mark.parametrize("code", [100, 200, 299, 700, 799])
def test_other_codes_do_not(policy_of: Policies, code: int) -> None:
    assert decide(policy_of(), idle_nodes(5), [ended(1, 1, code)], NOW).launch == 5


def test_an_early_end_without_a_code_is_a_fizzle(policy_of: Policies) -> None:
    limited_by(decide(policy_of(), idle_nodes(5), [ended(1, 1, None, lived_s=99)], NOW), "backoff", 0)
    assert decide(policy_of(), idle_nodes(5), [ended(1, 1, None, lived_s=100)], NOW).launch == 5


def test_a_pilot_that_was_asked_to_stop_is_no_fizzle(policy_of: Policies) -> None:
    stopped = replace(ended(1, 1, None, lived_s=3), asked_to_stop=ago(2))
    assert decide(policy_of(), idle_nodes(5), [stopped], NOW).launch == 5


def test_after_the_pause_one_canary_goes_first(policy_of: Policies) -> None:
    failed = ended(1, 200, 300)
    limited_by(decide(policy_of(), idle_nodes(5), [failed], NOW), "backoff", 1)
    for state in (State.INTENT, State.QUEUED, State.RUNNING):
        limited_by(decide(policy_of(), idle_nodes(5), [failed, pilot(2, state)], NOW), "backoff", 0)


def test_the_rest_follow_once_the_canary_has_outlived_the_fizzle_time(policy_of: Policies) -> None:
    failed = ended(1, 200, 300)
    early = pilot(2, submitted=ago(150), started=ago(99))
    assert decide(policy_of(), idle_nodes(5), [failed, early], NOW).launch == 0
    proven = pilot(2, submitted=ago(150), started=ago(100))
    assert decide(policy_of(), idle_nodes(5), [failed, proven], NOW).launch == 5


def test_a_canary_that_found_work_proves_enough(policy_of: Policies) -> None:
    own = [ended(1, 200, 300), ended(2, 10, 200, lived_s=20)]
    assert decide(policy_of(), idle_nodes(5), own, NOW).launch == 5


def test_a_canary_that_was_evicted_early_proves_nothing(policy_of: Policies) -> None:
    own = [ended(1, 200, 300), ended(2, 10, 100, lived_s=20)]
    limited_by(decide(policy_of(), idle_nodes(5), own, NOW), "backoff", 1)


def test_an_offer_counts_what_ramp_and_back_off_only_delay(policy_of: Policies) -> None:
    decision = decide(policy_of(limits={"ramp": 0.1}), idle_nodes(5), [ended(1, 1, 300)], NOW)
    assert (decision.launch, decision.room) == (0, 5)


NODES = st.builds(
    Node,
    name=st.uuids().map(str),
    cores_free=st.integers(0, 12),
    memory_mb_free=st.integers(0, 4000),
    gpus_free=st.integers(0, 2),
    idle=st.booleans(),
)
SPARES = st.lists(NODES, max_size=12).map(lambda nodes: Spare(tuple(nodes)))
AGES = st.integers(0, 2 * 24 * 3600)


@st.composite
def records(draw: st.DrawFn) -> list[PilotRecord]:
    found = []
    for serial in range(draw(st.integers(0, 12))):
        state = draw(st.sampled_from(State))
        last = draw(AGES)
        begun = last + draw(st.integers(0, 4000))
        started = state is State.RUNNING or (state in {State.ENDED, State.LOST} and draw(st.booleans()))
        over = state in {State.ENDED, State.LOST}
        found.append(
            PilotRecord(
                pilot=f"alder-{serial}",
                state=state,
                cores=draw(st.integers(1, 8)),
                gpus=draw(st.integers(0, 2)),
                walltime_s=draw(st.integers(60, 90000)),
                submitted=ago(begun),
                node=f"own{draw(st.integers(0, 5))}" if state is State.RUNNING else None,
                started=ago(begun if not over else last) if started else None,
                ended=ago(last) if over else None,
                code=draw(st.sampled_from([None, 100, 200, 300, 500, 700])) if over else None,
            )
        )
    return found


LIMITS = st.fixed_dictionaries(
    {
        "max_pilots": st.integers(0, 20),
        "share_of_idle": st.floats(0, 1),
        "ramp": st.floats(0.01, 1),
    },
    optional={
        "max_nodes": st.integers(0, 10),
        "max_cores": st.one_of(st.just(0), st.integers(4, 60)),
        "max_gpus": st.one_of(st.just(0), st.integers(2, 10)),
        "core_hours_per_day": st.one_of(st.just(0), st.floats(4, 500)),
    },
)
WHEN = st.fixed_dictionaries({"only_idle_nodes": st.booleans()})
GPUS = st.integers(0, 2)


def charged_s(record: PilotRecord) -> float:
    """Core-seconds by second-wise thinking: what ran in the last day, plus what an active pilot may still run."""
    if record.active:
        begun = record.started or NOW
        until = max(NOW, begun + timedelta(seconds=record.walltime_s))
    elif record.started is None or record.ended is None:
        return 0
    else:
        begun, until = record.started, record.ended
    return record.cores * max(0.0, (until - max(begun, NOW - timedelta(days=1))).total_seconds())


@given(spare=SPARES, own=records(), limits=LIMITS, when=WHEN, gpus=GPUS)
def test_no_cap_is_ever_passed(
    policy_of: Policies,
    spare: Spare,
    own: list[PilotRecord],
    limits: dict[str, Any],
    when: dict[str, Any],
    gpus: int,
) -> None:
    policy = policy_of(limits=limits, when=when, pilot={"gpus": gpus})
    launch = decide(policy, spare, own, NOW).launch
    assert launch >= 0
    if launch == 0:
        return
    active = [record for record in own if record.active]
    coming = [record for record in active if record.node is None]
    shape, caps = policy.pilot, policy.limits
    assert len(active) + launch <= caps.max_pilots
    assert launch <= max(1, -(-caps.ramp * caps.max_pilots // 1))
    cores = sum(record.cores for record in active) + launch * shape.cores
    if caps.max_cores is not None:
        assert cores <= caps.max_cores
    if caps.max_gpus is not None and gpus:
        assert sum(record.gpus for record in active) + launch * gpus <= caps.max_gpus
    if caps.max_nodes is not None:
        placed = {record.node for record in active if record.node}
        assert len(placed) + len(coming) + launch <= caps.max_nodes
    if caps.core_hours_per_day is not None:
        promised = sum(map(charged_s, own)) + launch * shape.cores * shape.walltime_s
        assert promised <= caps.core_hours_per_day * 3600 + 1e-6
    running = sum(record.cores for record in active if record.state is State.RUNNING)
    left = sum(node.cores_free for node in spare.nodes) + running
    assert cores <= caps.share_of_idle * left + 1e-6
    usable = [node for node in spare.nodes if node.cores_free >= shape.cores and node.gpus_free >= gpus]
    usable = [node for node in usable if node.idle or not policy.when.only_idle_nodes]
    assert launch + len(coming) <= len(usable)


@given(spare=SPARES, own=records(), limits=LIMITS, when=WHEN, more=st.lists(NODES, min_size=1, max_size=3))
def test_more_spare_capacity_never_means_fewer_pilots(
    policy_of: Policies,
    spare: Spare,
    own: list[PilotRecord],
    limits: dict[str, Any],
    when: dict[str, Any],
    more: list[Node],
) -> None:
    policy = policy_of(limits=limits, when=when)
    fewer = decide(policy, spare, own, NOW).launch
    larger = Spare((*spare.nodes, *more))
    assert decide(policy, larger, own, NOW).launch >= fewer
    freer = Spare(tuple(replace(node, cores_free=node.cores_free + 1, idle=True) for node in spare.nodes))
    assert decide(policy, freer, own, NOW).launch >= fewer


@given(spare=SPARES, own=records(), wait_s=st.integers(0, 1000))
def test_there_is_never_more_than_one_canary(
    policy_of: Policies, spare: Spare, own: list[PilotRecord], wait_s: int
) -> None:
    policy = policy_of(backoff={"wait_s": wait_s})
    fizzle_s = policy.backoff.fizzle_s
    launch = decide(policy, spare, own, NOW).launch
    failures = [record.ended for record in own if record.fizzled(fizzle_s) and record.ended]
    if not failures:
        return
    last = max(failures)
    later = [record for record in own if record.submitted >= last]
    if any(record.proves(fizzle_s, NOW) for record in later):
        return
    canaries = sum(record.active for record in later)
    assert launch + canaries <= max(1, canaries)


@given(own=records(), limits=LIMITS)
def test_a_failed_answer_starts_nothing(
    policy_of: Policies, own: list[PilotRecord], limits: dict[str, Any]
) -> None:
    policy = policy_of(limits=limits)
    assert decide(policy, None, own, NOW).launch == 0
    assert decide(policy, Spare(()), own, NOW).launch == 0


@given(spare=SPARES, own=records())
def test_nothing_starts_after_a_withdrawal(policy_of: Policies, spare: Spare, own: list[PilotRecord]) -> None:
    assert decide(policy_of(), spare, own, NOW, halted="withdrawn").launch == 0
