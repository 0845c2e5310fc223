"""What the federation saved a centre's jobs in waiting, over one span of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from math import ceil

from sqlalchemy import Engine

from fallow.ledger.monthly import Waited
from fallow.rules.messages import Outcome
from fallow_matcher.ledger.monthly import milli
from fallow_matcher.simulation.recorded import Part, runs, workload
from fallow_matcher.simulation.workload import Workload


def waits(engine: Engine, part: Part, alone: Callable[[Workload], list[Outcome]]) -> list[Waited]:
    """How long a centre's jobs waited, and would have waited on its own machines alone, by resource class.

    Args:
        engine: The hub's database.
        part: Which runs.
        alone: Simulates the work on each centre's own machines alone.
    """
    found = runs(engine, part)
    work = workload(engine, found, part)
    if not work.jobs:
        return []
    simulated = {each.resource_class: each for each in alone(work) if each.centre == part.centre}
    most: dict[str, int] = defaultdict(int)
    for step in work.capacity:
        if step.centre == part.centre:
            most[step.resource_class] = max(most[step.resource_class], step.units)
    measured: dict[str, list[float]] = defaultdict(list)
    able: dict[str, float] = defaultdict(float)
    for row in found:
        if row.consumer == part.centre:
            wait_s = max(0.0, row.started - row.submitted)
            measured[row.resource_class].append(wait_s)
            if (row.gpus or row.cores) <= most[row.resource_class]:
                able[row.resource_class] += wait_s
    return [
        _waited(kind, sorted(measured[kind]), able[kind], simulated.get(kind)) for kind in sorted(measured)
    ]


def _waited(kind: str, found: list[float], able_s: float, alone: Outcome | None) -> Waited:
    served = alone if alone is not None and alone.jobs else None
    return Waited(
        resource_class=kind,
        jobs=len(found),
        mean_s=milli(sum(found) / len(found)),
        p95_s=milli(found[ceil(0.95 * len(found)) - 1]),
        alone_jobs=served.jobs if served else 0,
        alone_mean_s=milli(served.mean_wait_s) if served else None,
        alone_p95_s=milli(served.p95_wait_s) if served else None,
        saved_s=milli(served.mean_wait_s * served.jobs - able_s) if served else None,
    )
