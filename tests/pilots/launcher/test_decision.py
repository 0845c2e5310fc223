"""The launcher's rule: examples for each clause. What no situation may break is in test_decision_properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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


@pytest.mark.parametrize(("start", "hours"), [("2026-03-28T21:00", 7), ("2026-10-24T20:00", 9)])
def test_a_pilot_of_a_night_with_a_clock_change_ends_when_the_window_does(
    policy_of: Policies, start: str, hours: int
) -> None:
    night = {"time_zone": "Europe/Berlin", "windows": [{"start": "22:00", "end": "06:00"}]}
    policy = policy_of(when=night, pilot={"walltime_s": 86400})
    begins = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert decide(policy, idle_nodes(1), [], begins).walltime_s == hours * 3600


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


def test_a_person_who_says_resume_ends_the_pause_and_spares_the_canary(policy_of: Policies) -> None:
    own = [ended(1, 20, 300), ended(2, 10, None, lived_s=5)]
    assert decide(policy_of(), idle_nodes(5), own, NOW, resumed=ago(10)).launch == 5
    limited_by(decide(policy_of(), idle_nodes(5), own, NOW, resumed=ago(11)), "backoff", 0)


def test_a_canary_that_found_work_proves_enough(policy_of: Policies) -> None:
    own = [ended(1, 200, 300), ended(2, 10, 200, lived_s=20)]
    assert decide(policy_of(), idle_nodes(5), own, NOW).launch == 5


def test_a_canary_that_was_evicted_early_proves_nothing(policy_of: Policies) -> None:
    own = [ended(1, 200, 300), ended(2, 10, 100, lived_s=20)]
    limited_by(decide(policy_of(), idle_nodes(5), own, NOW), "backoff", 1)


def test_an_offer_counts_what_ramp_and_back_off_only_delay(policy_of: Policies) -> None:
    decision = decide(policy_of(limits={"ramp": 0.1}), idle_nodes(5), [ended(1, 1, 300)], NOW)
    assert (decision.launch, decision.room) == (0, 5)


def launches(decision: Decision) -> list[tuple[int, int, int]]:
    """Cores, walltime and number of each kind of pilots that start."""
    return [(one.lot.shape.cores, one.lot.walltime_s, one.count) for one in decision.launches if one.count]


def both(some: Spare, others: Spare) -> Spare:
    """The nodes of both."""
    return Spare((*some.nodes, *(replace(node, name=f"other-{node.name}") for node in others.nodes)))


BIG = {"cores": 16, "memory_mb": 4000}


def test_a_node_takes_the_largest_shape_that_fits_it(policy_of: Policies) -> None:
    policy = policy_of(pilot={"other_shapes": [BIG]})
    spare = both(idle_nodes(2), idle_nodes(3, cores_free=16))
    assert launches(decide(policy, spare, [], NOW)) == [(16, 3600, 3), (4, 3600, 2)]


def test_what_one_shape_takes_of_a_cap_is_gone_for_the_next(policy_of: Policies) -> None:
    policy = policy_of(pilot={"other_shapes": [BIG]}, limits={"max_cores": 40})
    spare = both(idle_nodes(5), idle_nodes(2, cores_free=16))
    assert launches(decide(policy, spare, [], NOW)) == [(16, 3600, 2), (4, 3600, 2)]


@pytest.mark.parametrize("limits", [{"ramp": 0.1}, {"max_pilots": 1, "ramp": 1.0}])
def test_all_shapes_together_keep_to_what_counts_pilots(policy_of: Policies, limits: dict[str, Any]) -> None:
    policy = policy_of(pilot={"other_shapes": [BIG]}, limits=limits)
    spare = both(idle_nodes(5), idle_nodes(2, cores_free=16))
    assert launches(decide(policy, spare, [], NOW)) == [(16, 3600, 1)]


def test_the_canary_is_one_for_all_shapes(policy_of: Policies) -> None:
    policy = policy_of(pilot={"other_shapes": [BIG]})
    spare = both(idle_nodes(5), idle_nodes(2, cores_free=16))
    assert decide(policy, spare, [ended(1, 200, 300)], NOW).launch == 1


def test_a_pilot_of_several_nodes_needs_as_many(policy_of: Policies) -> None:
    policy = policy_of(pilot={"nodes": 2}, limits={"max_nodes": 6})
    limited_by(decide(policy, idle_nodes(5), [], NOW), "spare capacity", 2)
    queued = pilot(1, State.QUEUED, cores=8, nodes=2)
    limited_by(decide(policy, idle_nodes(5), [queued], NOW), "spare capacity", 1)
    held = [pilot(1, cores=8, nodes=2), pilot(2, cores=8, nodes=2)]
    limited_by(decide(policy, idle_nodes(5), held, NOW), "limits.max_nodes", 1)


def test_cores_are_counted_on_all_nodes_of_a_pilot(policy_of: Policies) -> None:
    policy = policy_of(pilot={"nodes": 2}, limits={"max_cores": 20})
    limited_by(decide(policy, idle_nodes(8), [], NOW), "limits.max_cores", 2)


def test_gpus_and_core_hours_are_counted_on_all_nodes_of_a_pilot(policy_of: Policies) -> None:
    spare = idle_nodes(8, gpus_free=2)
    gpus = policy_of(pilot={"nodes": 2, "gpus": 2}, limits={"max_gpus": 11})
    limited_by(decide(gpus, spare, [], NOW), "limits.max_gpus", 2)
    hours = policy_of(pilot={"nodes": 2}, limits={"core_hours_per_day": 23})
    limited_by(decide(hours, spare, [], NOW), "limits.core_hours_per_day", 2)


def test_a_pilot_is_gone_before_maintenance_begins(policy_of: Policies) -> None:
    soon, late = NOW + timedelta(seconds=1234), NOW + timedelta(days=1)
    spare = both(idle_nodes(2, free_until=soon), idle_nodes(1, free_until=late))
    assert launches(decide(policy_of(), spare, [], NOW)) == [(4, 3600, 1), (4, 1200, 2)]
    too_soon = NOW + timedelta(seconds=299)
    assert decide(policy_of(), idle_nodes(2, free_until=too_soon), [], NOW).launch == 0


def test_only_gpus_of_the_wanted_model_count(policy_of: Policies) -> None:
    policy = policy_of(pilot={"gpus": 2, "gpu_model": "a100"})
    spare = idle_nodes(3, gpus_free=2, gpu_models=(("h100", 2),))
    assert decide(policy, spare, [], NOW).launch == 0
    spare = idle_nodes(3, gpus_free=4, gpu_models=(("h100", 2), ("a100", 2)))
    assert decide(policy, spare, [], NOW).launch == 3


def test_only_as_many_start_as_the_scheduler_would_start_at_once(policy_of: Policies) -> None:
    policy = policy_of(when={"only_backfill": True})
    limited_by(decide(policy, replace(idle_nodes(5), startable=2), [], NOW), "when.only_backfill", 2)
    limited_by(decide(policy, replace(idle_nodes(5), startable=0), [], NOW), "when.only_backfill", 0)
    unknown = decide(policy, idle_nodes(5), [], NOW)
    limited_by(unknown, "when.only_backfill", 0)
    assert unknown.reason == "The batch system does not say when a pilot would start."


def test_a_pilot_in_a_short_hole_is_short(policy_of: Policies) -> None:
    policy = policy_of(when={"only_backfill": True})
    spare = replace(idle_nodes(5), startable=2, startable_s=1000)
    assert launches(decide(policy, spare, [], NOW)) == [(4, 960, 2)]


def test_holes_are_of_no_interest_where_the_policy_does_not_ask(policy_of: Policies) -> None:
    spare = replace(idle_nodes(5), startable=0, startable_s=600)
    assert launches(decide(policy_of(), spare, [], NOW)) == [(4, 3600, 5)]


def test_pilots_that_were_taken_back_by_name_are_not_started_again(policy_of: Policies) -> None:
    decision = decide(policy_of(), idle_nodes(5), [pilot(1)], NOW, ceiling=(3, "Two were taken back."))
    limited_by(decision, "halt", 2)
    assert decision.reason == "Two were taken back."


@pytest.mark.parametrize(
    "limits",
    [
        {"max_pilots": 0},
        {"max_nodes": 0},
        {"max_cores": 0},
        {"max_gpus": 0},
        {"share_of_idle": 0},
        {"core_hours_per_day": 0},
    ],
)
def test_a_cap_of_zero_starts_nothing_and_is_named(policy_of: Policies, limits: dict[str, Any]) -> None:
    policy = policy_of(limits=limits, pilot={"gpus": 1})
    (clause,) = limits
    limited_by(decide(policy, idle_nodes(5, gpus_free=1), [], NOW), f"limits.{clause}", 0)
