"""The work that the ledger has recorded, as a workload."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, or_, select

from fallow.rules import CPU
from fallow_matcher.database import reading
from fallow_matcher.ledger.run import CHARGED
from fallow_matcher.ledger.tables import REPORT, RUN
from fallow_matcher.simulation.workload import Job, Step, Workload

MAX_JOBS = 50_000
"""The latest jobs that are taken."""

Pool = tuple[str, str]
"""A centre's units of one resource class."""
Changes = list[tuple[float, int]]
"""Moments, and by how much a pool grows or shrinks then."""


@dataclass(frozen=True)
class Part:
    """The runs that started in a span of time and that have to do with one centre."""

    centre: str
    since: float
    until: float


def recorded(engine: Engine) -> Workload:
    """The latest jobs that ran to their end, and the capacity that the centres had meanwhile."""
    return workload(engine, runs(engine))


def runs(engine: Engine, part: Part | None = None) -> Sequence[Row[Any]]:
    """The latest runs to a job's end, `MAX_JOBS` at most, of the whole ledger or a part of it."""
    wanted: list[ColumnElement[bool]] = [
        RUN.c.outcome.in_(CHARGED),
        RUN.c.submitted.is_not(None),
        RUN.c.wall_s.is_not(None),
    ]
    if part is not None:
        wanted += [
            or_(RUN.c.consumer == part.centre, RUN.c.provider == part.centre),
            RUN.c.started >= part.since,
            RUN.c.started < part.until,
        ]
    query = select(RUN).where(*wanted).order_by(RUN.c.ended.desc(), RUN.c.id.desc()).limit(MAX_JOBS)
    with reading(engine) as connection:
        return connection.execute(query).all()


def workload(engine: Engine, found: Sequence[Row[Any]], part: Part | None = None) -> Workload:
    """Runs as jobs that come, and the capacity that the centres had meanwhile; of a part, its centre's jobs alone.

    A job that was evicted and ran again is one job, with the length of its last run. Cores are those that the pilots
    reported; where a centre's pilots reported none, and for GPUs, as many as its jobs ever held at once. After the last
    job came, every centre has the most that it ever had, so that what still waits is served.
    """
    jobs = sorted(
        (_job(row) for row in found if part is None or row.consumer == part.centre),
        key=lambda job: job.submitted_s,
    )
    if not jobs:
        return Workload([], [])
    wanted = [REPORT.c.written >= jobs[0].submitted_s]
    if part is not None:
        wanted += [REPORT.c.centre == part.centre, REPORT.c.started < part.until]
    query = select(
        REPORT.c.centre, REPORT.c.started, REPORT.c.ended, REPORT.c.written, REPORT.c.offered_core_s
    )
    with reading(engine) as connection:
        pilots = connection.execute(query.where(*wanted).order_by(REPORT.c.started)).all()
    pools = _offered(pilots)
    for pool, changes in _held(found).items():
        if pool[1] != CPU or pool not in pools:
            pools[pool] = [(float("-inf"), max(_levels(changes)))]
    capacity = [
        step for pool, changes in pools.items() for step in _steps(pool, changes, jobs[-1].submitted_s)
    ]
    return Workload(jobs, capacity)


def described(workload: Workload) -> str:
    """A recorded workload in words: how many jobs, from when to when, on what."""
    first, last = (
        datetime.fromtimestamp(workload.jobs[index].submitted_s, UTC).strftime("%Y-%m-%d %H:%M")
        for index in (0, -1)
    )
    most: dict[Pool, int] = {}
    for step in workload.capacity:
        pool = (step.centre, step.resource_class)
        most[pool] = max(step.units, most.get(pool, 0))
    units = ", ".join(f"{centre} {most[centre, kind]} {kind}" for centre, kind in sorted(most))
    return f"{len(workload.jobs)} jobs submitted from {first} to {last} UTC, on at most: {units}"


def _job(row: Row[Any]) -> Job:
    units = row.cores if row.resource_class == CPU else row.gpus
    return Job(
        row.consumer,
        row.submitted,
        row.wall_s,
        row.requested_s,
        max(1, units),
        row.work_type,
        row.resource_class,
    )


def _offered(pilots: Iterable[Row[Any]]) -> dict[Pool, Changes]:
    found: dict[Pool, Changes] = defaultdict(list)
    for pilot in pilots:
        ended = pilot.ended or pilot.written
        cores = round(pilot.offered_core_s / (ended - pilot.started)) if ended > pilot.started else 0
        if cores:
            found[pilot.centre, CPU] += [(pilot.started, cores), (ended, -cores)]
    return found


def _held(runs: Sequence[Row[Any]]) -> dict[Pool, Changes]:
    found: dict[Pool, Changes] = defaultdict(list)
    for row in runs:
        job = _job(row)
        pool = (row.provider, job.resource_class)
        found[pool] += [(row.started, job.units), (row.started + row.wall_s, -job.units)]
    return found


def _levels(changes: Changes) -> list[int]:
    level, levels = 0, []
    for _, change in sorted(changes):
        level += change
        levels.append(level)
    return levels


def _steps(pool: Pool, changes: Changes, last_s: float) -> list[Step]:
    centre, resource_class = pool
    steps = [
        Step(centre, at_s, units, resource_class)
        for (at_s, _), units in zip(sorted(changes), _levels(changes), strict=True)
        if at_s < last_s
    ]
    return [*steps, Step(centre, last_s, max(_levels(changes)), resource_class)]
