"""What the centre makes visible at the hub; it expires by itself when the launcher falls silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from fallow.offers import Offer, OfferState, Reclaims
from fallow.offers import Shape as OfferedShape
from fallow_pilots.conditions import conditions_of
from fallow_pilots.decision import Decision
from fallow_pilots.halt import Halt
from fallow_pilots.nodefindings import NodeCheck, common_words
from fallow_pilots.policy import Policy, Shape
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
    checks: Mapping[str, NodeCheck] | None = None,
) -> Offer:
    """The centre's offer: what pilots hold now and what the policy would add in the present situation.

    Args:
        policy: The centre's policy.
        decision: What was decided at `now`.
        own: The pilots remembered.
        now: The launcher's clock, UTC.
        interval_s: Time to the next offer; this one stands for three times as long, 300 s at least.
        halt: Whether the centre is withdrawn or draining.
        checks: What pilots found on their nodes, by pilot: a shape promises what all of its nodes have.
    """
    found = checks or {}
    active = [record for record in own if record.active]
    return Offer(
        centre=policy.identity.centre,
        shapes=[_shown(policy, decision, shape, active, found) for shape in policy.pilot.shapes],
        running_pilots=sum(record.state is State.RUNNING for record in active),
        starts=now,
        expires=now + timedelta(seconds=max(SHORTEST_S, 3 * interval_s)),
        conditions=[clause.shown() for clause in conditions_of(policy)],
        state=OfferState.OPEN if halt is None else halt.state,
        reclaims=reclaims_of(own),
    )


def reclaims_of(records: Sequence[PilotRecord]) -> Reclaims | None:
    """How long pilots took to be gone when a person asked for their capacity; None where nobody did."""
    times = [
        (one.ended - one.asked_to_stop).total_seconds() for one in records if one.ended and one.asked_to_stop
    ]
    if not times:
        return None
    return Reclaims(count=len(times), mean_s=sum(times) / len(times), longest_s=max(times))


def _shown(
    policy: Policy,
    decision: Decision,
    shape: Shape,
    active: Sequence[PilotRecord],
    checks: Mapping[str, NodeCheck],
) -> OfferedShape:
    """One shape as offered; each node of a pilot brings a slot. Pilots of a shape that is no more count as the main one."""
    sizes = {_size(other): other for other in reversed(policy.pilot.shapes)}
    held = [record for record in active if sizes.get((record.cores, record.gpus), policy.pilot) is shape]
    launches = [launch for launch in decision.launches if launch.lot.shape is shape]
    longest_s = max((launch.lot.walltime_s for launch in launches), default=0) or policy.pilot.walltime_s
    return OfferedShape(
        cores=shape.cores,
        memory_mb=shape.memory_mb,
        disk_mb=shape.disk_mb,
        gpus=shape.gpus,
        gpu_model=shape.gpu_model or "",
        count=(len(held) + sum(launch.room for launch in launches)) * shape.nodes,
        walltime_s=max(1, longest_s - policy.pilot.drain_grace_s),
        capabilities=common_words(checks[record.pilot] for record in held if record.pilot in checks),
    )


def _size(shape: Shape) -> tuple[int, int]:
    return shape.all_cores, shape.all_gpus
