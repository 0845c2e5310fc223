"""The launcher's rule: what no policy and no situation may break."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fallow_pilots.batch.model import Node, Spare
from fallow_pilots.decision import Launch, decide
from fallow_pilots.policy import Policy
from fallow_pilots.record import PilotRecord, State

Policies = Callable[..., Policy]
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def named(prefix: str, nodes: list[Node]) -> tuple[Node, ...]:
    """The nodes, each with a name of its own."""
    return tuple(replace(node, name=f"{prefix}{index}") for index, node in enumerate(nodes))


NODES = st.builds(
    Node,
    name=st.just(""),
    cores_free=st.sampled_from([3, 6, 16]),
    memory_mb_free=st.sampled_from([9000, 9000, 999]),
    gpus_free=st.sampled_from([0, 1, 4]),
    idle=st.sampled_from([True, True, True, False]),
    free_until=st.one_of(
        st.none(), st.none(), st.integers(-100, 9000).map(lambda seconds: NOW + timedelta(seconds=seconds))
    ),
)
MORE = st.lists(NODES, min_size=1, max_size=3).map(lambda nodes: named("more", nodes))
SPARES = st.builds(
    Spare,
    nodes=st.lists(NODES, min_size=3, max_size=12).map(lambda nodes: named("n", nodes)),
    waiting=st.sampled_from([None, 0, 1, 2, 5]),
    startable=st.sampled_from([None, 0, 1, 3, 8]),
    startable_s=st.one_of(st.none(), st.integers(300, 3600)),
)
AGES = st.integers(0, 2 * 24 * 3600)


@st.composite
def records(draw: st.DrawFn) -> list[PilotRecord]:
    found = []
    for serial in range(draw(st.sampled_from([0, 0, 1, 2, 3, 6]))):
        state = draw(st.sampled_from([*State, State.RUNNING, State.ENDED]))
        last = draw(AGES)
        begun = last + draw(st.integers(0, 4000))
        started = state is State.RUNNING or (state in {State.ENDED, State.LOST} and draw(st.booleans()))
        over = state in {State.ENDED, State.LOST}
        found.append(
            PilotRecord(
                pilot=f"alder-{serial}",
                state=state,
                cores=draw(st.integers(1, 8)),
                nodes=1 if state is State.RUNNING else draw(st.integers(1, 2)),
                gpus=draw(st.integers(0, 2)),
                walltime_s=draw(st.integers(60, 90000)),
                submitted=ago(begun),
                node=f"own{draw(st.integers(0, 5))}" if state is State.RUNNING else None,
                started=ago(begun if not over else last) if started else None,
                ended=ago(last) if over else None,
                code=draw(st.sampled_from([None, 100, 200, 200, 200, 300, 500, 700])) if over else None,
            )
        )
    return found


SHAPES = st.lists(
    st.fixed_dictionaries(
        {
            "cores": st.integers(1, 6),
            "memory_mb": st.sampled_from([256, 1000, 3000]),
            "gpus": st.sampled_from([0, 0, 1, 2]),
            "nodes": st.sampled_from([1, 2, 3]),
        }
    ),
    min_size=1,
    max_size=3,
)
WINDOWS = [[{"start": "08:00", "end": "12:30"}], [{"start": "08:00", "end": "12:04"}], [{"start": "13:00"}]]
ALWAYS = st.fixed_dictionaries({"only_idle_nodes": st.booleans(), "only_backfill": st.just(False)})
WHEN = st.one_of(
    ALWAYS,
    st.just({"only_idle_nodes": False, "only_backfill": True}),
    st.fixed_dictionaries(
        {
            "only_idle_nodes": st.just(True),
            "only_backfill": st.booleans(),
            "queue_below": st.sampled_from([None, 1, 3, 6]),
            "windows": st.sampled_from([[], *WINDOWS]),
            "node_idle_s": st.sampled_from([0, 600]),
        }
    ),
)
GENEROUS = {"max_pilots": 50, "ramp": 1.0}


@st.composite
def policies(
    draw: st.DrawFn,
    kinds: st.SearchStrategy[list[dict[str, Any]]] = SHAPES,
    *,
    capped: bool = True,
    timed: bool = True,
) -> dict[str, Any]:
    """Tables of a valid policy; without limits, or without a say when, what is left out cannot hide the rest."""
    first, *others = draw(kinds)
    when = draw(WHEN if timed else ALWAYS)
    if when["only_backfill"]:
        others = []
    if not capped:
        return {"pilot": {**first, "other_shapes": others}, "limits": GENEROUS, "when": when}
    most = {
        "cores": max(one["cores"] * one["nodes"] for one in (first, *others)),
        "gpus": max(one["gpus"] * one["nodes"] for one in (first, *others)),
    }
    one = {
        "max_pilots": st.sampled_from([0, 2, 5, 10]),
        "share_of_idle": st.floats(0, 1),
        "ramp": st.sampled_from([0.01, 0.1, 0.5]),
        "max_nodes": st.sampled_from([0, 3, 6, 8, 11]),
        "max_cores": st.one_of(st.just(0), st.integers(2 * most["cores"], 90)),
        "max_gpus": st.one_of(st.just(0), st.integers(max(1, 2 * most["gpus"]), 20)),
        "core_hours_per_day": st.one_of(st.just(0), st.floats(4 * most["cores"], 200)),
    }
    bound = draw(st.lists(st.sampled_from(sorted(one)), min_size=1, max_size=3, unique=True))
    limits = {**GENEROUS, **{name: draw(one[name]) for name in bound}}
    return {"pilot": {**first, "other_shapes": others}, "limits": limits, "when": when}


IDLE_SINCE = st.dictionaries(st.integers(0, 11), st.integers(0, 1200), max_size=12)


def since(spare: Spare, idle_s: dict[int, int]) -> dict[str, datetime]:
    """Since when the nodes of `spare` have been idle."""
    return {spare.nodes[index].name: ago(age) for index, age in idle_s.items() if index < len(spare.nodes)}


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


def can_take(node: Node, launch: Launch, policy: Policy, idle: dict[str, datetime]) -> bool:
    """Whether `node` could run a pilot of this kind until its end."""
    when, shape = policy.when, launch.lot.shape
    return (
        node.cores_free >= shape.cores
        and node.memory_mb_free >= shape.memory_mb
        and node.gpus_free >= shape.gpus
        and (node.idle or not when.only_idle_nodes)
        and NOW - idle.get(node.name, NOW) >= timedelta(seconds=when.node_idle_s)
        and (node.free_until is None or NOW + timedelta(seconds=launch.lot.walltime_s) <= node.free_until)
    )


@settings(max_examples=500)
@given(tables=policies(timed=False), spare=SPARES, own=records(), idle_s=IDLE_SINCE)
def test_no_cap_is_ever_passed(
    policy_of: Policies,
    tables: dict[str, Any],
    spare: Spare,
    own: list[PilotRecord],
    idle_s: dict[int, int],
) -> None:
    policy = policy_of(**tables)
    decision = decide(policy, spare, own, NOW, idle_since=since(spare, idle_s))
    assert all(one.count >= 0 and one.room >= one.count for one in decision.launches)
    started = [one for one in decision.launches for _ in range(one.count)]
    if not started:
        return
    active = [record for record in own if record.active]
    limits, shapes = policy.limits, [one.lot.shape for one in started]
    assert len(active) + len(started) <= limits.max_pilots
    assert len(started) <= max(1, -(-limits.ramp * limits.max_pilots // 1))
    cores = sum(record.cores for record in active) + sum(shape.cores * shape.nodes for shape in shapes)
    if limits.max_cores is not None:
        assert cores <= limits.max_cores
    gpus = sum(shape.gpus * shape.nodes for shape in shapes)
    if limits.max_gpus is not None and gpus:
        assert sum(record.gpus for record in active) + gpus <= limits.max_gpus
    if limits.max_nodes is not None:
        placed = {record.node for record in active if record.node}
        coming = sum(record.nodes for record in active if not record.node)
        assert len(placed) + coming + sum(shape.nodes for shape in shapes) <= limits.max_nodes
    if limits.core_hours_per_day is not None:
        promised = sum(one.lot.shape.cores * one.lot.shape.nodes * one.lot.walltime_s for one in started)
        assert sum(map(charged_s, own)) + promised <= limits.core_hours_per_day * 3600 + 1e-6
    running = sum(record.cores for record in active if record.state is State.RUNNING)
    left = sum(node.cores_free for node in spare.nodes) + running
    assert cores <= limits.share_of_idle * left + 1e-6


@given(tables=policies(capped=False), spare=SPARES, own=records(), idle_s=IDLE_SINCE)
def test_nothing_starts_but_when_the_policy_says_so(
    policy_of: Policies,
    tables: dict[str, Any],
    spare: Spare,
    own: list[PilotRecord],
    idle_s: dict[int, int],
) -> None:
    policy = policy_of(**tables)
    when = policy.when
    decision = decide(policy, spare, own, NOW, idle_since=since(spare, idle_s))
    if decision.launch == 0:
        return
    if when.queue_below is not None:
        assert spare.waiting is not None
        assert spare.waiting < when.queue_below
    if when.only_backfill:
        assert spare.startable is not None
        assert decision.launch <= spare.startable
    for one in decision.launches:
        assert one.lot.walltime_s <= policy.pilot.walltime_s
        if one.count:
            assert one.lot.walltime_s >= policy.pilot.min_walltime_s
        if when.windows:
            assert NOW + timedelta(seconds=one.lot.walltime_s) <= NOW.replace(hour=12, minute=30)
        if when.only_backfill and spare.startable_s is not None:
            assert one.lot.walltime_s <= spare.startable_s


@given(tables=policies(capped=False), spare=SPARES, own=records(), idle_s=IDLE_SINCE)
def test_each_node_gets_one_pilot_at_most(
    policy_of: Policies,
    tables: dict[str, Any],
    spare: Spare,
    own: list[PilotRecord],
    idle_s: dict[int, int],
) -> None:
    policy = policy_of(**tables)
    idle = since(spare, idle_s)
    decision = decide(policy, spare, own, NOW, idle_since=idle)
    if decision.launch == 0:
        return
    started = [one for one in decision.launches if one.count]
    usable = [node for node in spare.nodes if any(can_take(node, one, policy, idle) for one in started)]
    assert sum(one.count * one.lot.shape.nodes for one in started) <= len(usable)
    for shape in policy.pilot.shapes:
        kinds = [one for one in started if one.lot.shape is shape]
        size = (shape.all_cores, shape.all_gpus)
        awaited = [record for record in own if record.active and record.state is not State.RUNNING]
        coming = sum(record.nodes for record in awaited if (record.cores, record.gpus) == size)
        theirs = [node for node in spare.nodes if any(can_take(node, one, policy, idle) for one in kinds)]
        if kinds:
            assert sum(one.count for one in kinds) * shape.nodes + coming <= len(theirs)


ONE_SHAPE = SHAPES.map(lambda kinds: kinds[:1])


@given(tables=policies(ONE_SHAPE), spare=SPARES, own=records(), more=MORE)
def test_more_spare_capacity_never_means_fewer_pilots(
    policy_of: Policies, tables: dict[str, Any], spare: Spare, own: list[PilotRecord], more: tuple[Node, ...]
) -> None:
    policy = policy_of(**tables)
    before = Spare(
        tuple(replace(node, free_until=None) for node in spare.nodes), spare.waiting, spare.startable
    )
    idle = {node.name: ago(9999) for node in (*before.nodes, *more)}
    fewer = decide(policy, before, own, NOW, idle_since=idle).launch
    larger = replace(before, nodes=(*before.nodes, *(replace(node, free_until=None) for node in more)))
    assert decide(policy, larger, own, NOW, idle_since=idle).launch >= fewer
    freer = tuple(replace(node, cores_free=node.cores_free + 1, idle=True) for node in before.nodes)
    assert decide(policy, replace(before, nodes=freer), own, NOW, idle_since=idle).launch >= fewer
    if spare.startable is not None:
        holes = replace(before, startable=spare.startable + 1)
        assert decide(policy, holes, own, NOW, idle_since=idle).launch >= fewer
    if spare.waiting:
        shorter = replace(before, waiting=spare.waiting - 1)
        assert decide(policy, shorter, own, NOW, idle_since=idle).launch >= fewer


@given(tables=policies(), spare=SPARES, own=records(), more=MORE)
def test_more_spare_capacity_never_takes_from_a_larger_kind(
    policy_of: Policies, tables: dict[str, Any], spare: Spare, own: list[PilotRecord], more: tuple[Node, ...]
) -> None:
    """With several kinds, more nodes of one may use up a cap; but what is served first never gets less."""
    policy = policy_of(**tables)
    idle = {node.name: ago(9999) for node in (*spare.nodes, *more)}

    def counts(nodes: tuple[Node, ...]) -> dict[tuple[int, int], int]:
        decision = decide(policy, replace(spare, nodes=nodes), own, NOW, idle_since=idle)
        order = list(policy.pilot.shapes)
        return {
            (
                next(n for n, shape in enumerate(order) if shape is one.lot.shape),
                -one.lot.walltime_s,
            ): one.count
            for one in decision.launches
        }

    before, after = counts(spare.nodes), counts((*spare.nodes, *more))
    kinds = sorted({*before, *after})
    assert [after.get(kind, 0) for kind in kinds] >= [before.get(kind, 0) for kind in kinds]


@given(tables=policies(capped=False, timed=False), spare=SPARES, own=records(), wait_s=st.integers(0, 1000))
def test_there_is_never_more_than_one_canary(
    policy_of: Policies, tables: dict[str, Any], spare: Spare, own: list[PilotRecord], wait_s: int
) -> None:
    policy = policy_of(**tables, backoff={"wait_s": wait_s})
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
    if NOW - last < timedelta(seconds=wait_s):
        assert launch == 0


@given(tables=policies(), own=records())
def test_a_failed_or_empty_answer_starts_nothing(
    policy_of: Policies, tables: dict[str, Any], own: list[PilotRecord]
) -> None:
    policy = policy_of(**tables)
    assert decide(policy, None, own, NOW).launch == 0
    assert decide(policy, Spare(()), own, NOW).launch == 0


@given(tables=policies(), spare=SPARES, own=records(), ceiling=st.integers(0, 5))
def test_nothing_starts_after_a_withdrawal(
    policy_of: Policies, tables: dict[str, Any], spare: Spare, own: list[PilotRecord], ceiling: int
) -> None:
    policy = policy_of(**tables)
    assert decide(policy, spare, own, NOW, halted="withdrawn").launch == 0
    active = sum(record.active for record in own)
    some = decide(policy, spare, own, NOW, ceiling=(ceiling, "some were withdrawn")).launch
    assert some == 0 or active + some <= ceiling
