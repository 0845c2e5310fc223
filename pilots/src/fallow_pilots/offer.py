"""What the centre makes visible at the hub; it expires by itself when the launcher falls silent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fallow.offers import Offer, OfferState, Shape
from fallow_pilots.conditions import conditions_of
from fallow_pilots.decision import Decision
from fallow_pilots.halt import Halt
from fallow_pilots.policy import Policy
from fallow_pilots.record import PilotRecord, State

SHORTEST_S = 300


def offer_of(
    policy: Policy,
    decision: Decision,
    own: Sequence[PilotRecord],
    now: datetime,
    *,
    interval_s: float,
    halt: Halt | None,
) -> Offer:
    """The centre's offer: what pilots hold now and what the policy would add in the present situation.

    Args:
        policy: The centre's policy.
        decision: What was decided at `now`.
        own: The pilots remembered.
        now: The launcher's clock, UTC.
        interval_s: Time to the next offer; this one stands for three times as long, 300 s at least.
        halt: Whether the centre is withdrawn or draining.
    """
    active = [record for record in own if record.active]
    shape = Shape(
        cores=policy.pilot.cores,
        memory_mb=policy.pilot.memory_mb,
        disk_mb=policy.pilot.disk_mb,
        gpus=policy.pilot.gpus,
        count=len(active) + decision.room,
        walltime_s=max(1, (decision.walltime_s or policy.pilot.walltime_s) - policy.pilot.drain_grace_s),
    )
    return Offer(
        centre=policy.identity.centre,
        shapes=[shape],
        running_pilots=sum(record.state is State.RUNNING for record in active),
        starts=now,
        expires=now + timedelta(seconds=max(SHORTEST_S, 3 * interval_s)),
        conditions=[clause.shown() for clause in conditions_of(policy)],
        state=OfferState.OPEN if halt is None else halt.state,
    )
