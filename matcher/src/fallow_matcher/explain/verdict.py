"""Each centre's offer against one job, in words; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fallow.explanations import Obstacle, Verdict
from fallow.offers import Offer, OfferState, Shape
from fallow_matcher.classads import number_of
from fallow_matcher.explain import demand as words
from fallow_matcher.explain.demand import Demand
from fallow_matcher.explain.fit import Job, obstacles
from fallow_matcher.explain.situation import Situation

_PARTS = (("Cpus", "cores"), ("Memory", "memory_mb"), ("Disk", "disk_kb"), ("GPUs", "gpus"))


@dataclass(frozen=True)
class Held:
    """An offer held against the job: its verdict, and those of its shapes that fit."""

    verdict: Verdict
    shapes: tuple[Shape, ...]


def verdicts(situation: Situation, job: Job) -> list[Held]:
    """Every centre: those that fit first, then the nearest, then those that offer nothing."""
    found = [verdict(situation, job, offer) for offer in situation.offers]
    offering = {each.verdict.centre for each in found}
    found.sort(key=lambda each: _first(each.verdict))
    silent = [
        Held(Verdict(centre=centre, fits=False, words=f"{centre} offers nothing now."), ())
        for centre in situation.centres
        if centre not in offering
    ]
    return [*found, *silent]


def verdict(situation: Situation, job: Job, offer: Offer) -> Held:
    """One offer against the job."""
    slots = [slot for slot in situation.slots if slot.get("FallowCentre") == offer.centre]
    by_shape = [(shape, _hindered(situation, job, offer, shape)) for shape in offer.shapes]
    hindered = min((each for _, each in by_shape), key=nearness, default=[])
    hindered = [*_state(offer), *hindered]
    if not hindered and not any(shape.count for shape in offer.shapes) and not slots:
        hindered = [Obstacle(reason=f"{offer.centre} has nothing to give now")]
    room = sum(_has_room(slot, job.demand, situation.now) for slot in slots)
    told = Verdict(
        centre=offer.centre,
        fits=not hindered,
        words=_refusal(hindered) if hindered else _standing(offer, slots, job.demand, room, situation.now),
        obstacles=hindered,
        pilots=len(slots),
        room=0 if hindered else room,
    )
    return Held(told, () if hindered else tuple(shape for shape, each in by_shape if not each))


def _first(each: Verdict) -> tuple[bool, int, bool, int, str]:
    return (not each.fits, -each.room, *nearness(each.obstacles), each.centre)


def nearness(hindered: Sequence[Obstacle]) -> tuple[bool, int]:
    """How far a job is from fitting; smaller is nearer."""
    return (any(not each.change for each in hindered), len(hindered))


def advice(hindered: Sequence[Obstacle]) -> str:
    """The changes that would make the job fit; empty where some obstacle has none."""
    if not hindered or any(not each.change for each in hindered):
        return ""
    return " and ".join(dict.fromkeys(each.change for each in hindered))


def _hindered(situation: Situation, job: Job, offer: Offer, shape: Shape) -> list[Obstacle]:
    live = _like(situation.whole, offer.centre, shape)
    return obstacles(job, offer, shape, situation.now, live, situation.rules.rules.work_types)


def _like(whole: Sequence[Mapping[str, Any]], centre: str, shape: Shape) -> Mapping[str, Any] | None:
    """A slot of the centre that is in the pool, of this shape if there is one."""
    own = [slot for slot in whole if slot.get("FallowCentre") == centre]
    same = [
        slot
        for slot in own
        if slot.get("TotalSlotCpus") == shape.cores and (slot.get("TotalSlotGPUs") or 0) == shape.gpus
    ]
    return next(iter([*same, *own]), None)


def _state(offer: Offer) -> list[Obstacle]:
    said = {
        OfferState.DRAINING: f"{offer.centre} is draining: it takes nothing new",
        OfferState.WITHDRAWN: f"{offer.centre} has withdrawn its capacity",
    }
    return [Obstacle(reason=said[offer.state])] if offer.state in said else []


def _refusal(hindered: Sequence[Obstacle]) -> str:
    first = hindered[0].reason.rstrip(".")
    more = f" (and {len(hindered) - 1} more)" if len(hindered) > 1 else ""
    nearest = f" Nearest change: {changes}." if (changes := advice(hindered)) else ""
    return (
        f"{first[:1].upper()}{first[1:]}{more}.{nearest}"
        if not first.endswith("”")
        else f"{first}{more}.{nearest}"
    )


def _standing(offer: Offer, slots: Sequence[Mapping[str, Any]], demand: Demand, room: int, now: float) -> str:
    if not slots:
        return f"Fits; {offer.centre} has no pilot in the pool now."
    if room:
        return f"Fits; there is room for it at {room} of {_pilots(len(slots))} now."
    lives = [(number_of(slot, "FallowUntil") or 0) - now for slot in slots]
    if demand.walltime_s is not None and max(lives) < demand.walltime_s:
        return (
            f"Fits a new pilot; none of the {_pilots(len(slots))} there lives long enough for "
            f"{words.time(demand.walltime_s)} (at most {words.time(max(0.0, *lives))} are left)."
        )
    return f"Fits; the {_pilots(len(slots))} there are busy."


def _pilots(count: int) -> str:
    return f"{count} pilot{'' if count == 1 else 's'}"


def _has_room(slot: Mapping[str, Any], demand: Demand, now: float) -> bool:
    left_s = (number_of(slot, "FallowUntil") or 0) - now
    sizes = all((getattr(demand, asked) or 0) <= (number_of(slot, name) or 0) for name, asked in _PARTS)
    return sizes and (demand.walltime_s or 0) <= left_s
