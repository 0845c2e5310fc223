"""What a simulation says about each centre."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import ceil

from fallow.rules.messages import Outcome
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import Run

Key = tuple[str, str]
"""Centre and resource class."""


def summarise(runs: Sequence[Run], books: Books, centres: Sequence[str]) -> list[Outcome]:
    """One outcome for each centre and each class that anybody's jobs used, in a fixed order.

    Args:
        runs: What ran.
        books: The balances afterwards.
        centres: The centres to tell of, with or without jobs.
    """
    waits: dict[Key, list[float]] = defaultdict(list)
    for run in runs:
        waits[run.job.centre, run.job.resource_class].append(run.wait_s)
    classes = sorted({resource_class for _, resource_class in waits})
    shares = {resource_class: _shares(runs, resource_class) for resource_class in classes}
    return [
        Outcome(
            centre=centre,
            resource_class=resource_class,
            jobs=len(found := sorted(waits[centre, resource_class])),
            mean_wait_s=sum(found) / len(found) if found else 0.0,
            p95_wait_s=found[ceil(0.95 * len(found)) - 1] if found else 0.0,
            share=shares[resource_class].get(centre, 0.0) if shares[resource_class] else None,
            balance=books[centre, resource_class].balance if (centre, resource_class) in books else 0.0,
        )
        for resource_class in classes
        for centre in centres
    ]


def _shares(runs: Sequence[Run], resource_class: str) -> dict[str, float]:
    """Of the units given out while a job waited, the part that each centre's jobs had; empty if none ever waited.

    When nobody waits everybody has what it asks for: only the rest tells one set of rules from another.
    """
    events: list[tuple[float, int, int, str]] = []
    for run in runs:
        if run.job.resource_class == resource_class:
            if run.wait_s > 0:
                events += [(run.job.submitted_s, 1, 0, ""), (run.started_s, -1, 0, "")]
            units, centre = run.job.units, run.job.centre
            events += [(run.started_s, 0, units, centre), (run.started_s + run.job.wall_s, 0, -units, centre)]
    used: dict[str, int] = defaultdict(int)
    had: dict[str, float] = defaultdict(float)
    waiting, before_s = 0, 0.0
    for at_s, waits, units, centre in sorted(events):
        if waiting:
            for each, busy in used.items():
                had[each] += busy * (at_s - before_s)
        waiting += waits
        used[centre] += units
        before_s = at_s
    total = sum(had.values())
    return {centre: value / total for centre, value in had.items() if centre} if total else {}
