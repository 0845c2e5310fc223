"""The launcher's rule, as a pure function: how many pilots to start now, and which clause limits it.

Every clause of the policy becomes one cap; the smallest wins, and of equal ones the first is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fallow_pilots.batch.model import Node, Spare
from fallow_pilots.policy import Policy
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.windows import open_until

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
class Decision:
    """How many pilots to start now, how long they may live, and why not more."""

    launch: int
    walltime_s: int
    clause: str
    reason: str
    caps: tuple[Cap, ...]
    closes: datetime | None = None
    """When the window closes by which these pilots must have ended."""

    @property
    def room(self) -> int:
        """New pilots that the policy allows sooner or later in the present situation."""
        return min((cap.allows for cap in self.caps if cap.lasting), default=0)


def decide(
    policy: Policy,
    spare: Spare | None,
    own: Sequence[PilotRecord],
    now: datetime,
    *,
    halted: str | None = None,
    idle_since: Mapping[str, datetime] | None = None,
) -> Decision:
    """Decide how many pilots to start now.

    Args:
        policy: The centre's policy.
        spare: What is free now; None when the batch system gave no trustworthy answer.
        own: All pilots remembered, ended ones included.
        now: The launcher's clock, UTC.
        halted: Why nothing may start at all (withdrawn, draining, no token), or None.
        idle_since: Since when each node has been seen idle.
    """
    active = [record for record in own if record.active]
    closes = open_until(policy.when.windows, policy.when.time_zone, now)
    walltime_s = policy.pilot.walltime_s
    if closes is not None:
        walltime_s = min(walltime_s, math.floor((closes - now).total_seconds()))
    walltime_s -= walltime_s % 60  # batch systems count minutes, and a pilot must know its true end
    caps = [Cap("halt", 0, halted)] if halted else []
    caps += _window(policy, now, closes, walltime_s)
    caps += _limits(policy, active)
    caps += _budget(policy, own, now, walltime_s)
    if spare is None:
        caps.append(Cap("batch", 0, "The batch system gave no trustworthy answer."))
    else:
        caps += _capacity(policy, spare, active, now, idle_since or {})
    caps += _back_off(policy, own, now)
    ramp = max(1, math.ceil(policy.limits.ramp * policy.limits.max_pilots))
    caps.append(Cap("limits.ramp", ramp, f"At most {ramp} per cycle.", lasting=False))
    smallest = min(caps, key=lambda cap: cap.allows)
    return Decision(
        max(0, smallest.allows), max(0, walltime_s), smallest.clause, smallest.reason, tuple(caps), closes
    )


def _window(policy: Policy, now: datetime, closes: datetime | None, walltime_s: int) -> Iterable[Cap]:
    if closes is None:
        return
    if closes <= now:
        yield Cap("when.windows", 0, "No window is open.")
    elif walltime_s < policy.pilot.min_walltime_s:
        yield Cap("when.windows", 0, f"The window closes in {walltime_s} s, too soon for a pilot.")


def _limits(policy: Policy, active: Sequence[PilotRecord]) -> Iterable[Cap]:
    limits, shape = policy.limits, policy.pilot
    yield _cap("limits.max_pilots", limits.max_pilots, len(active), 1, "pilots")
    if limits.max_nodes is not None:
        yield _cap("limits.max_nodes", limits.max_nodes, _nodes(active), 1, "nodes")
    if limits.max_cores is not None:
        held = sum(record.cores for record in active)
        yield _cap("limits.max_cores", limits.max_cores, held, shape.cores, "cores")
    if limits.max_gpus is not None and shape.gpus:
        held = sum(record.gpus for record in active)
        yield _cap("limits.max_gpus", limits.max_gpus, held, shape.gpus, "GPUs")


def _cap(clause: str, limit: int, held: int, each: int, unit: str) -> Cap:
    return Cap(clause, max(0, limit - held) // each, f"{held} of {limit} {unit} are held.")


def _nodes(active: Sequence[PilotRecord]) -> int:
    """Nodes that pilots occupy; one that has no node yet may take a fresh one."""
    placed = {record.node for record in active if record.node is not None}
    return len(placed) + sum(record.node is None for record in active)


def _budget(policy: Policy, own: Sequence[PilotRecord], now: datetime, walltime_s: int) -> Iterable[Cap]:
    clause, hours = "limits.core_hours_per_day", policy.limits.core_hours_per_day
    if hours is None:
        return
    spent_s = sum(_charged_s(record, now) for record in own)
    each_s = policy.pilot.cores * max(1, walltime_s)
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


def _capacity(
    policy: Policy,
    spare: Spare,
    active: Sequence[PilotRecord],
    now: datetime,
    idle_since: Mapping[str, datetime],
) -> Iterable[Cap]:
    when, shape = policy.when, policy.pilot
    if when.queue_below is not None and (spare.waiting is None or spare.waiting >= when.queue_below):
        yield Cap("when.queue_below", 0, f"{spare.waiting} local jobs wait.")
    if policy.limits.share_of_idle < 1:
        held = sum(record.cores for record in active)
        running = sum(record.cores for record in active if record.state is State.RUNNING)
        left = sum(node.cores_free for node in spare.nodes) + running
        allows = math.floor((policy.limits.share_of_idle * left - held) / shape.cores + 1e-9)
        reason = f"Pilots hold {held} of {left} cores that local work leaves."
        yield Cap("limits.share_of_idle", max(0, allows), reason)
    fitting = [node for node in spare.nodes if _fits(policy, node, now, idle_since)]
    coming = sum(record.state is not State.RUNNING for record in active)
    reason = f"{len(fitting)} nodes fit a pilot, {coming} pilots have yet to start."
    yield Cap("spare capacity", max(0, len(fitting) - coming), reason)


def _fits(policy: Policy, node: Node, now: datetime, idle_since: Mapping[str, datetime]) -> bool:
    shape, when = policy.pilot, policy.when
    if when.only_idle_nodes and not node.idle:
        return False
    if when.node_idle_s and (now - idle_since.get(node.name, now)).total_seconds() < when.node_idle_s:
        return False
    return (
        node.cores_free >= shape.cores
        and node.memory_mb_free >= shape.memory_mb
        and node.gpus_free >= shape.gpus
    )


def _back_off(policy: Policy, own: Sequence[PilotRecord], now: datetime) -> Iterable[Cap]:
    """After a useless pilot: a pause, then one canary, and the rest once a pilot has proved itself."""
    clause, settings = "backoff", policy.backoff
    useless = [record for record in own if record.ended is not None and record.fizzled(settings.fizzle_s)]
    last = max(useless, key=lambda record: record.ended or now, default=None)
    if last is None or last.ended is None:
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
