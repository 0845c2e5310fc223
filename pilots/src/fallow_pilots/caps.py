"""Each clause of the policy as a cap: how many more pilots of one kind it allows now, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fallow_pilots.batch.model import Spare
from fallow_pilots.policy import Policy, Shape
from fallow_pilots.record import PilotRecord, State

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cap:
    """One clause and the number of new pilots it allows now."""

    clause: str
    allows: int
    reason: str
    lasting: bool = True
    """Whether it says what the centre gives, and not just how fast: offers leave the others out."""


@dataclass(frozen=True)
class Lot:
    """Nodes that can take pilots of the same shape for the same time; a node is in one lot at most."""

    shape: Shape
    walltime_s: int
    nodes: int
    """How many nodes of this shape there are, those of longer lots included."""


def window(policy: Policy, now: datetime, closes: datetime | None, lot: Lot) -> Iterator[Cap]:
    """`when.windows`."""
    if closes is None:
        return
    if closes <= now:
        yield Cap("when.windows", 0, "No window is open.")
    elif lot.walltime_s < policy.pilot.min_walltime_s:
        yield Cap("when.windows", 0, f"The window closes in {lot.walltime_s} s, too soon for a pilot.")


def limits(policy: Policy, active: Sequence[PilotRecord], shape: Shape) -> Iterator[Cap]:
    """`limits.max_…`."""
    most = policy.limits
    yield _cap("limits.max_pilots", most.max_pilots, len(active), 1, "pilots")
    if most.max_nodes is not None:
        yield _cap("limits.max_nodes", most.max_nodes, _nodes(active), shape.nodes, "nodes")
    if most.max_cores is not None:
        held = sum(record.cores for record in active)
        yield _cap("limits.max_cores", most.max_cores, held, shape.all_cores, "cores")
    if most.max_gpus is not None and shape.gpus:
        held = sum(record.gpus for record in active)
        yield _cap("limits.max_gpus", most.max_gpus, held, shape.all_gpus, "GPUs")


def _cap(clause: str, limit: int, held: int, each: int, unit: str) -> Cap:
    return Cap(clause, max(0, limit - held) // each, f"{held} of {limit} {unit} are held.")


def _nodes(active: Sequence[PilotRecord]) -> int:
    """Nodes that pilots occupy; one that has no node yet may take a fresh one."""
    placed = {record.node: record.nodes for record in active if record.node is not None}
    return sum(placed.values()) + sum(record.nodes for record in active if record.node is None)


def budget(policy: Policy, own: Sequence[PilotRecord], now: datetime, lot: Lot) -> Iterator[Cap]:
    """`limits.core_hours_per_day`."""
    clause, hours = "limits.core_hours_per_day", policy.limits.core_hours_per_day
    if hours is None:
        return
    spent_s = sum(_charged_s(record, now) for record in own)
    each_s = lot.shape.all_cores * max(1, lot.walltime_s)
    allows = math.floor(max(0.0, hours * 3600 - spent_s) / each_s)
    yield Cap(clause, allows, f"{spent_s / 3600:.1f} of {hours:g} core-hours are spent or promised.")


def _charged_s(record: PilotRecord, now: datetime) -> float:
    """Core-seconds in the last 24 hours; an active pilot is charged to the end of its walltime."""
    if record.active:
        begun = record.started or now
        until = max(now, begun + timedelta(seconds=record.walltime_s))
    elif record.started is None or record.ended is None:
        return 0.0
    else:
        begun, until = record.started, record.ended
    return record.cores * max(0.0, (until - max(begun, now - DAY)).total_seconds())


def queue(policy: Policy, spare: Spare, launched: int) -> Iterator[Cap]:
    """`when.queue_below` and `when.only_backfill`: what waits, and whether a pilot would delay it."""
    when = policy.when
    if when.queue_below is not None and (spare.waiting is None or spare.waiting >= when.queue_below):
        reason = "It is not known how many" if spare.waiting is None else str(spare.waiting)
        yield Cap("when.queue_below", 0, f"{reason} local jobs wait.")
    if not when.only_backfill:
        return
    if spare.startable is None:
        yield Cap("when.only_backfill", 0, "The batch system does not say when a pilot would start.")
    else:
        reason = f"The batch system would start {spare.startable} pilots at once, delaying nobody."
        yield Cap("when.only_backfill", max(0, spare.startable - launched), reason)


def share(policy: Policy, spare: Spare, active: Sequence[PilotRecord], shape: Shape) -> Iterator[Cap]:
    """`limits.share_of_idle`."""
    if policy.limits.share_of_idle >= 1:
        return
    held = sum(record.cores for record in active)
    running = sum(record.cores for record in active if record.state is State.RUNNING)
    left = sum(node.cores_free for node in spare.nodes) + running
    allows = math.floor((policy.limits.share_of_idle * left - held) / shape.all_cores + 1e-9)
    reason = f"Pilots hold {held} of {left} cores that local work leaves."
    yield Cap("limits.share_of_idle", max(0, allows), reason)


def capacity(policy: Policy, active: Sequence[PilotRecord], lot: Lot) -> Iterator[Cap]:
    """Nodes that fit, less those that pilots to come will take: at most one pilot for each node."""
    sizes = {(shape.all_cores, shape.all_gpus) for shape in policy.pilot.shapes}
    coming = [record for record in active if record.state is not State.RUNNING]
    mine = [
        record
        for record in coming
        if (record.cores, record.gpus) == (lot.shape.all_cores, lot.shape.all_gpus)
        or (record.cores, record.gpus) not in sizes
    ]
    awaited = sum(record.nodes for record in mine)
    reason = f"{lot.nodes} nodes fit a pilot, {len(mine)} pilots have yet to start."
    yield Cap("spare capacity", max(0, lot.nodes - awaited) // lot.shape.nodes, reason)


def ramp(policy: Policy, launched: int) -> Iterator[Cap]:
    """`limits.ramp`."""
    most = max(1, math.ceil(policy.limits.ramp * policy.limits.max_pilots))
    yield Cap("limits.ramp", max(0, most - launched), f"At most {most} per cycle.", lasting=False)


def back_off(
    policy: Policy, own: Sequence[PilotRecord], now: datetime, resumed: datetime | None
) -> Iterator[Cap]:
    """After a useless pilot: a pause, then one canary, and the rest once a pilot has proved itself.

    It ends when a person says `resume`, too.
    """
    clause, settings = "backoff", policy.backoff
    useless = [record for record in own if record.ended is not None and record.fizzled(settings.fizzle_s)]
    last = max(useless, key=lambda record: record.ended or now, default=None)
    if last is None or last.ended is None or (resumed is not None and last.ended <= resumed):
        return
    since = last.ended
    later = [record for record in own if record.submitted >= since and record is not last]
    if any(record.proves(settings.fizzle_s, now) for record in later):
        return
    why = f"code {last.code}" if last.code is not None else "an early end without a code"
    resume = since + timedelta(seconds=settings.wait_s)
    if now < resume:
        until = resume.strftime("%Y-%m-%d %H:%M:%S UTC")
        reason = f"Pilot {last.pilot} ended with {why}; the next starts at {until}."
        yield Cap(clause, 0, reason, lasting=False)
        return
    canaries = [record for record in later if record.active]
    if canaries:
        yield Cap(clause, 0, f"Canary {canaries[0].pilot} has not proved itself yet.", lasting=False)
        return
    yield Cap(clause, 1, f"One canary goes first: pilot {last.pilot} ended with {why}.", lasting=False)
