"""One shape of an offer against one job: everything that hinders it, each with the nearest change; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fallow.explanations import Obstacle
from fallow.offers import Offer, Shape
from fallow_matcher.explain import demand as words
from fallow_matcher.explain.clauses import clauses, outcome
from fallow_matcher.explain.demand import Demand
from fallow_matcher.explain.slot import UNSAID_KB, UNSAID_S, WITHIN, conditions_of, slot_of

_CENTRE = re.compile(r'(?:TARGET\.)?FallowCentre (?:==|=\?=) "([^"]*)"')
_MODEL = re.compile(r'regexp\("([^"]*)",\s*(?:TARGET\.)?FallowGpuModel,\s*"i"\)')
_ARCH = re.compile(r'(?:TARGET\.)?Arch == "([^"]*)"')
_LONGEST_CLAUSE = 200


@dataclass(frozen=True)
class Job:
    """A job as far as it is held against offers."""

    ad: Any
    demand: Demand
    requirements: tuple[str, ...]
    """The clauses of its Requirements."""

    @classmethod
    def of(cls, ad: Any) -> Job:
        """The job of an ad from the queue."""
        text = str(ad.lookup("Requirements")) if "Requirements" in ad else "true"
        return cls(ad, words.demand_of(ad), tuple(clauses(text)))


def obstacles(
    job: Job,
    offer: Offer,
    shape: Shape,
    now: float,
    live: Mapping[str, Any] | None = None,
    work_types: Iterable[str] = (),
) -> list[Obstacle]:
    """What hinders the job at this shape, sizes first; empty if, and only if, such a slot and the job would match.

    Args:
        job: The job.
        offer: The centre's offer.
        shape: One of its shapes.
        now: Unix time.
        live: A slot of the centre that is in the pool, of which the offer says more or less.
        work_types: Those that the job could have instead of its own.
    """
    small = slot_of(offer, shape, now, live)
    # Whether the rest fits is asked of a slot that is large enough: each obstacle is told once, as what it is.
    large = slot_of(offer, shape, now, live, job.demand)
    return [
        *_sizes(job.demand, offer.centre, small, now),
        *_conditions(job, offer, large, live, sorted(work_types)),
        *_requirements(job, offer.centre, large),
    ]


def _sizes(demand: Demand, centre: str, slot: Any, now: float) -> Iterator[Obstacle]:
    disk_kb = float(slot["Disk"])
    limits: list[tuple[str, float | None, float, Callable[[float | None], str], str]] = [
        ("RequestCpus", demand.cores, slot["Cpus"], lambda value: words.count(value, "core"), ""),
        ("RequestMemory", demand.memory_mb, slot["Memory"], words.memory, " of memory"),
        ("RequestGPUs", demand.gpus, slot["GPUs"], lambda value: words.count(value, "GPU"), ""),
    ]
    if disk_kb < UNSAID_KB:
        limits.append(("RequestDisk", demand.disk_kb, disk_kb, _disk, " of scratch"))
    for name, asked, there, spoken, what in limits:
        if asked is None:
            yield Obstacle(reason=f"The job does not say how much it needs{what}.", clause=name)
        elif asked > there:
            has = f"offers {spoken(there)}" if there else "offers none"
            yield Obstacle(
                reason=f"needs {spoken(asked)}{what}; {centre} {has} per node",
                clause=f"TARGET.{name} <= {there:.0f}",
                change=f"ask for at most {spoken(there)}{what}" if there else "",
            )
    life_s = float(slot["FallowUntil"]) - 1 - int(now)
    if demand.walltime_s is not None and life_s < UNSAID_S and demand.walltime_s > life_s:
        wanted, given = words.time(demand.walltime_s), words.time(life_s)
        if wanted == given:
            wanted, given = f"{demand.walltime_s:.0f} s", f"{life_s:.0f} s"
        yield Obstacle(
            reason=f"asks for {wanted}; pilots at {centre} stay {given} at most",
            clause="TARGET.FallowWalltime <= MY.FallowUntil - time()",
            change=f"ask for at most {life_s:.0f} s",
        )


def _disk(size_kb: float | None) -> str:
    return words.memory(None if size_kb is None else size_kb / 1024)


def _conditions(
    job: Job, offer: Offer, slot: Any, live: Mapping[str, Any] | None, work_types: list[str]
) -> Iterator[Obstacle]:
    known: set[str] = set()
    for condition in conditions_of(offer):
        known.update(_plain(clause) for clause in clauses(condition.requirement))
        if outcome(condition.requirement, slot, job.ad) is not True:
            yield Obstacle(
                reason=f"{offer.centre} says: “{condition.sentence}”",
                clause=condition.requirement,
                change=_change(condition.requirement, slot, job, work_types),
            )
    # A pilot may ask for more than its centre's offer can show.
    for clause in clauses(str((live or {}).get("Start", "true"))):
        if _plain(clause) not in known | {"true", "false"} and outcome(clause, slot, job.ad) is False:
            yield Obstacle(
                reason=f"pilots at {offer.centre} ask for: {clause[:_LONGEST_CLAUSE]}",
                clause=clause,
                change=_change(clause, slot, job, work_types),
            )


def _change(clause: str, slot: Any, job: Job, work_types: list[str]) -> str:
    """The nearest change of one attribute with which the clause is true; empty where none is known."""
    for work_type in work_types:
        if _with(clause, slot, job, "FallowWorkType", work_type):
            return f"submit it as work type {work_type}"
    asked = int(job.demand.walltime_s or 0)
    if asked > 1 and _with(clause, slot, job, "FallowWalltime", 1):
        low, high = 1, asked
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high) if _with(clause, slot, job, "FallowWalltime", middle) else (low, middle)
            )
        return f"ask for at most {low} s"
    if _with(clause, slot, job, "FallowNetwork", False):
        return "declare that it needs no network"
    return ""


def _with(clause: str, slot: Any, job: Job, name: str, value: str | float | bool) -> bool:
    import classad2

    changed = classad2.ClassAd(str(job.ad))
    changed[name] = value
    return outcome(clause, slot, changed) is True


def _requirements(job: Job, centre: str, slot: Any) -> Iterator[Obstacle]:
    if outcome(WITHIN, slot, job.ad) is not True and None not in (
        job.demand.cores,
        job.demand.memory_mb,
        job.demand.disk_kb,
    ):
        yield Obstacle(reason="HTCondor could not give it a part of a slot.", clause=WITHIN)
    for clause in job.requirements:
        met = outcome(clause, job.ad, slot)
        if met is True:
            continue
        shown = clause if len(clause) <= _LONGEST_CLAUSE else f"{clause[:_LONGEST_CLAUSE]}…"
        if only := _CENTRE.fullmatch(clause):
            reason, change = f"may run at {only[1]} only", f"let it run at {centre} too"
        elif (arch := _ARCH.fullmatch(clause)) and met is False:
            reason = (
                f"has an image for {arch[1].lower()}; nodes at {centre} are {str(slot.get('Arch')).lower()}"
            )
            change = f"submit it with an image for {str(slot.get('Arch')).lower()}"
        elif (model := _MODEL.fullmatch(clause)) and met is False:
            named, there = (
                re.sub(r"\[(.)\]", r"\1", model[1]),
                slot.get("FallowGpuModel") or "none that it names",
            )
            reason, change = f"needs a GPU whose model is like {named}; {centre} has {there}", ""
        elif met is None:
            reason, change = f"requires {shown}, of which {centre} says nothing", ""
        else:
            reason, change = f"requires {shown}, which is not so at {centre}", ""
        yield Obstacle(reason=reason, clause=clause, change=change)


def _plain(clause: str) -> str:
    """A clause as it can be compared: however blanks and parentheses stand."""
    return re.sub(r"[\s()]", "", clause).lower()
