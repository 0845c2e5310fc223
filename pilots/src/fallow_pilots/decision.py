"""The launcher's rule, as a pure function: how many pilots to start now, and which clause limits it.

Every clause of the policy becomes one cap; the smallest wins, and of equal ones the first is named. Where
there are several shapes of pilots, the largest is served first, and what it takes counts for the next.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fallow_pilots import caps
from fallow_pilots.batch.model import Node, Spare
from fallow_pilots.caps import Cap, Lot
from fallow_pilots.policy import Policy, Shape
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.windows import open_until

__all__ = ["Cap", "Decision", "Launch", "decide"]


@dataclass(frozen=True)
class Launch:
    """Pilots of one kind: how many to start now, and why not more."""

    lot: Lot
    count: int
    limit: Cap
    """The clause that allows no more."""
    caps: tuple[Cap, ...]
    room: int
    """New pilots that the policy allows sooner or later in the present situation."""


@dataclass(frozen=True)
class Decision:
    """What to start now, the largest shape and the longest walltime first; never empty."""

    launches: tuple[Launch, ...]
    closes: datetime | None = None
    """When the window closes by which these pilots must have ended."""

    @property
    def launch(self) -> int:
        """How many pilots to start now."""
        return sum(one.count for one in self.launches)

    @property
    def room(self) -> int:
        """New pilots that the policy allows sooner or later in the present situation."""
        return sum(one.room for one in self.launches)

    @property
    def main(self) -> Launch:
        """The kind of pilots of which most start, or of which most nodes could take one."""
        return max(self.launches, key=lambda one: (one.count, one.lot.nodes))

    @property
    def clause(self) -> str:
        """The clause that limits them."""
        return self.main.limit.clause

    @property
    def reason(self) -> str:
        """Why it does."""
        return self.main.limit.reason

    @property
    def walltime_s(self) -> int:
        """How long they may live."""
        return self.main.lot.walltime_s

    @property
    def caps(self) -> tuple[Cap, ...]:
        """What each clause allows of them."""
        return self.main.caps


def decide(
    policy: Policy,
    spare: Spare | None,
    own: Sequence[PilotRecord],
    now: datetime,
    *,
    halted: str | None = None,
    ceiling: tuple[int, str] | None = None,
    idle_since: Mapping[str, datetime] | None = None,
    resumed: datetime | None = None,
) -> Decision:
    """Decide how many pilots to start now.

    Args:
        policy: The centre's policy.
        spare: What is free now; None when the batch system gave no trustworthy answer.
        own: All pilots remembered, ended ones included.
        now: The launcher's clock, UTC.
        halted: Why nothing may start at all (withdrawn, draining, no token), or None.
        ceiling: How many pilots may be here at most, and why, where a person has taken some of them back.
        idle_since: Since when each node has been seen idle.
        resumed: When a person last said that pilots may start.
    """
    closes = open_until(policy.when.windows, policy.when.time_zone, now)
    rule = _Rule(policy, spare, now, closes, halted, ceiling, resumed)
    launches: list[Launch] = []
    held, wanted = list(own), list(own)
    for lot in _lots(policy, spare, now, _longest_s(policy, spare, now, closes), idle_since or {}):
        now_allowed = rule.caps(held, len(held) - len(own), lot)
        limit = min(now_allowed, key=lambda cap: cap.allows)
        at_last = rule.caps(wanted, len(wanted) - len(own), lot)
        room = min(cap.allows for cap in at_last if cap.lasting)
        held += [_planned(lot, now)] * limit.allows
        wanted += [_planned(lot, now)] * room
        launches.append(Launch(lot, limit.allows, limit, tuple(now_allowed), room))
    return Decision(tuple(launches), closes)


@dataclass(frozen=True)
class _Rule:
    policy: Policy
    spare: Spare | None
    now: datetime
    closes: datetime | None
    halted: str | None
    ceiling: tuple[int, str] | None
    resumed: datetime | None

    def caps(self, own: Sequence[PilotRecord], launched: int, lot: Lot) -> list[Cap]:
        """What each clause allows of `lot` beside the pilots in `own`, `launched` of them in this cycle."""
        policy, now = self.policy, self.now
        active = [record for record in own if record.active]
        found: list[Cap] = []
        if self.halted:
            found.append(Cap("halt", 0, self.halted))
        if self.ceiling is not None:
            most, reason = self.ceiling
            found.append(Cap("halt", max(0, most - len(active)), reason))
        found += caps.window(policy, now, self.closes, lot)
        found += caps.limits(policy, active, lot.shape)
        found += caps.budget(policy, own, now, lot)
        if self.spare is None:
            found.append(Cap("batch", 0, "The batch system gave no trustworthy answer."))
        else:
            found += caps.queue(policy, self.spare, launched)
            found += caps.share(policy, self.spare, active, lot.shape)
            found += caps.capacity(policy, active, lot)
        found += caps.back_off(policy, own, now, self.resumed)
        found += caps.ramp(policy, launched)
        return found


def _planned(lot: Lot, now: datetime) -> PilotRecord:
    shape = lot.shape
    return PilotRecord(
        "to come", State.INTENT, shape.all_cores, shape.all_gpus, lot.walltime_s, now, nodes=shape.nodes
    )


def _longest_s(policy: Policy, spare: Spare | None, now: datetime, closes: datetime | None) -> int:
    """How long a pilot that starts now may live; in whole minutes, which is what batch systems count."""
    longest_s = policy.pilot.walltime_s
    if closes is not None:
        longest_s = min(longest_s, math.floor((closes - now).total_seconds()))
    if policy.when.only_backfill and spare is not None and spare.startable_s is not None:
        longest_s = min(longest_s, spare.startable_s)
    return max(0, longest_s - longest_s % 60)


def _lots(
    policy: Policy, spare: Spare | None, now: datetime, longest_s: int, idle_since: Mapping[str, datetime]
) -> list[Lot]:
    """The nodes that fit, each counted for the largest shape that it fits; and every shape once at least."""
    shapes = policy.pilot.shapes
    found: Counter[tuple[int, int]] = Counter()
    for node in () if spare is None else spare.nodes:
        if not _is_offered(policy, node, now, idle_since):
            continue
        left_s = longest_s
        if node.free_until is not None:
            until_s = max(0, math.floor((node.free_until - now).total_seconds()))
            left_s = min(left_s, until_s - until_s % 60)
            if left_s < policy.pilot.min_walltime_s:
                continue
        fitting = (index for index, shape in enumerate(shapes) if _fits(shape, node))
        index = next(fitting, None)
        if index is not None:
            found[index, left_s] += 1
    for index in range(len(shapes)):
        if not any(other == index for other, _ in found):
            found[index, longest_s] = 0
    lots, seen = [], Counter[int]()
    for (index, walltime_s), nodes in sorted(found.items(), key=lambda item: (item[0][0], -item[0][1])):
        seen[index] += nodes
        lots.append(Lot(shapes[index], walltime_s, seen[index]))
    return lots


def _is_offered(policy: Policy, node: Node, now: datetime, idle_since: Mapping[str, datetime]) -> bool:
    when = policy.when
    if when.only_idle_nodes and not node.idle:
        return False
    return not when.node_idle_s or (now - idle_since.get(node.name, now)).total_seconds() >= when.node_idle_s


def _fits(shape: Shape, node: Node) -> bool:
    return (
        node.cores_free >= shape.cores
        and node.memory_mb_free >= shape.memory_mb
        and node.gpus_free_of(shape.gpu_model) >= shape.gpus
    )
