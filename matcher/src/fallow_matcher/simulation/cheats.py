"""What a centre may try so as to get more than it gives: the four cheaters, as changes of a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fallow_matcher.simulation.workload import Job, Pilots, Step, Workload

TIMES = 3
"""How often a centre leaves and comes back under another name."""


@dataclass(frozen=True)
class Attempt:
    """A workload in which one centre cheats."""

    strategy: str
    """Its name."""
    workload: Workload
    names: frozenset[str]
    """The names of the cheater."""
    renamed: tuple[float, ...] = ()
    """When it comes back under another name."""


def attempts(workload: Workload, centre: str) -> list[Attempt]:
    """All that one centre may try.

    * *free rider*: shares a tenth of its units. With `keeps the rest` it runs its own jobs on the other nine tenths, else
      these are gone.
    * *newcomer*: leaves and comes back under another name, three times.
    * *splitter*: is two centres; half of its jobs under each name, and half or all of its units under one of them.
    * *liar*: shows twice the units that it has, each half as fast.
    """
    return [
        Attempt("free rider", _shares(workload, centre, keeps=False), frozenset({centre})),
        Attempt("free rider that keeps the rest", _shares(workload, centre, keeps=True), frozenset({centre})),
        Attempt("newcomer", workload, frozenset({centre}), tuple(_moments(workload))),
        _splitter(workload, centre, halves=True),
        _splitter(workload, centre, halves=False),
        Attempt("liar about capacity", _liar(workload, centre), frozenset({centre})),
    ]


def _shares(workload: Workload, centre: str, *, keeps: bool) -> Workload:
    capacity: list[Step] = []
    for step in workload.capacity:
        if step.centre != centre or step.private:
            capacity.append(step)
            continue
        part = max(1, step.units // 10) if step.units else 0
        capacity.append(replace(step, units=part))
        if keeps:
            capacity.append(replace(step, units=step.units - part, private=True))
    return replace(workload, capacity=capacity)


def _moments(workload: Workload) -> list[float]:
    begin_s = min(job.submitted_s for job in workload.jobs)
    span_s = max(job.submitted_s for job in workload.jobs) - begin_s
    return [begin_s + number * span_s / (TIMES + 1) for number in range(1, TIMES + 1)]


def _splitter(workload: Workload, centre: str, *, halves: bool) -> Attempt:
    one, other = f"{centre}-1", f"{centre}-2"
    capacity: list[Step] = []
    for step in workload.capacity:
        if step.centre != centre:
            capacity.append(step)
            continue
        part = step.units // 2 if halves else step.units
        capacity += [
            replace(step, centre=one, units=part),
            replace(step, centre=other, units=step.units - part),
        ]
    return Attempt(
        "splitter into halves" if halves else "splitter that gives under one name",
        replace(
            workload,
            jobs=_renamed(workload, centre, lambda number, _: (one, other)[number % 2]),
            capacity=capacity,
            pilots=_also(workload.pilots, centre, [one, other]),
        ),
        frozenset({one, other}),
    )


def _liar(workload: Workload, centre: str) -> Workload:
    capacity = [
        replace(step, units=2 * step.units) if step.centre == centre else step for step in workload.capacity
    ]
    return replace(
        workload, capacity=capacity, speed={**workload.speed, centre: workload.speed.get(centre, 1.0) / 2}
    )


def _renamed(workload: Workload, centre: str, name: Callable[[int, Job], str]) -> list[Job]:
    jobs, number = [], 0
    for job in workload.jobs:
        if job.centre == centre:
            jobs.append(replace(job, centre=name(number, job)))
            number += 1
        else:
            jobs.append(job)
    return jobs


def _also(
    of: Mapping[tuple[str, str], Pilots], centre: str, names: list[str]
) -> dict[tuple[str, str], Pilots]:
    more = {(name, kind): like for (owner, kind), like in of.items() if owner == centre for name in names}
    return {**of, **more}
