"""What a simulation says about each centre and about all of them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from math import ceil

from pydantic import ConfigDict

from fallow.documented import Documented
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import Result, Run
from fallow_matcher.simulation.workload import Step, Workload

SHORTEST_S = 10.0
"""Bounded slowdown is `max(1, (wait + run) / max(run, 10 s))`; Feitelson and Rudolph, Metrics and Benchmarking for Parallel
Job Scheduling (JSSPP 1998)."""


class Figures(Documented):
    """Figures of the jobs of one centre, or of all."""

    model_config = ConfigDict(extra="forbid")

    centre: str
    """The centre; empty for all."""
    jobs: int
    """Jobs that ran."""
    unserved: int
    """Jobs that no capacity was ever right for."""
    mean_wait_s: float
    p95_wait_s: float
    mean_done_s: float
    """From a job's coming to its end, on average."""
    slowdown: float
    """Mean bounded slowdown."""
    utilisation: float
    """Of the centre's shared and own unit-seconds until the last job came, the part that any jobs used."""
    makespan_s: float
    """From the first job's coming to the last one's end."""
    given_h: float
    """Unit-hours that others' jobs used here."""
    used_h: float
    """Unit-hours that its jobs used elsewhere."""
    balance_h: float
    """Its balance at the end, decayed, in unit-hours, over all resource classes."""
    alone_s: float | None = None
    """Its mean wait without the federation."""
    relative: float | None = None
    """What the jobs wait that would be served alone as well, beside `alone_s`: below 1 they wait less; None where they would
    not wait alone."""
    loss_s: float | None = None
    """How much longer these jobs wait than alone; below 0 if they wait less."""


class Comparison(Documented):
    """What one policy does."""

    model_config = ConfigDict(extra="forbid")

    policy: str
    total: Figures
    centres: list[Figures]
    cut: float | None = None
    """By what part the mean wait of all jobs is shorter than without the federation."""
    jain: float
    """Jain's index of the centres' mean bounded slowdowns: 1 if all are slowed down alike, 1/n if one alone is."""
    exchanged: float
    """Of the unit-seconds used, the part that ran at another centre than the job's own."""
    evictions: int
    """Runs that lost their place."""
    lost_h: float
    """Unit-hours of these runs."""
    worst_loss_s: float | None = None
    """The most that a centre's mean wait is longer than alone; below 0 if every centre gains."""
    worst_centre: str = ""
    """Which that is."""


def figures(
    policy: str,
    workload: Workload,
    result: Result,
    books: Books,
    alone: Comparison | None,
    left_out: Collection[int] = (),
) -> Comparison:
    """The figures of one simulation.

    Args:
        policy: Its name.
        workload: What was simulated.
        result: What became of it.
        books: The balances afterwards.
        alone: The same without a federation, to compare with.
        left_out: Jobs (by `id`) that are not served alone, and so are not compared.
    """
    by_centre: dict[str, list[Run]] = defaultdict(list)
    for run in result.runs:
        by_centre[run.job.centre].append(run)
    unserved: dict[str, int] = defaultdict(int)
    for job in result.unserved:
        unserved[job.centre] += 1
    moved = _moved(result.runs)
    use = _utilisation(workload, [*result.runs, *result.evicted])
    owed: dict[str, float] = defaultdict(float)
    for (centre, _), account in books.items():
        owed[centre] += account.balance
    before = {each.centre: each.mean_wait_s for each in alone.centres} if alone else {}
    centres = [
        _figures(
            centre,
            by_centre[centre],
            unserved[centre],
            use.get(centre, 0.0),
            sum(units_s for (giver, _), units_s in moved.items() if giver == centre),
            sum(units_s for (_, user), units_s in moved.items() if user == centre),
            owed[centre],
            before.get(centre),
            left_out,
        )
        for centre in workload.centres
    ]
    total_alone = alone.total.mean_wait_s if alone else None
    total = _figures(
        "",
        result.runs,
        len(result.unserved),
        use.get("", 0.0),
        sum(moved.values()),
        sum(moved.values()),
        0.0,
        total_alone,
        left_out,
    )
    used_s = sum(run.job.units * (run.ended_s - run.started_s) for run in result.runs)
    losses = [(each.loss_s, each.centre) for each in centres if each.loss_s is not None]
    return Comparison(
        policy=policy,
        total=total,
        centres=centres,
        cut=None if total.relative is None else 1 - total.relative,
        jain=_jain([each.slowdown for each in centres if each.jobs]),
        exchanged=sum(moved.values()) / used_s if used_s else 0.0,
        evictions=len(result.evicted),
        lost_h=sum(run.job.units * (run.ended_s - run.started_s) for run in result.evicted) / 3600,
        worst_loss_s=max(losses)[0] if losses else None,
        worst_centre=max(losses)[1] if losses else "",
    )


def _figures(
    centre: str,
    runs: Sequence[Run],
    unserved: int,
    utilisation: float,
    given_s: float,
    used_s: float,
    balance_s: float,
    alone_s: float | None,
    left_out: Collection[int],
) -> Figures:
    waits = sorted(run.wait_s for run in runs)
    mean_s = sum(waits) / len(waits) if waits else 0.0
    compared = [run.wait_s for run in runs if id(run.job) not in left_out] if left_out else waits
    compared_s = sum(compared) / len(compared) if compared else 0.0
    return Figures(
        centre=centre,
        jobs=len(runs),
        unserved=unserved,
        mean_wait_s=mean_s,
        p95_wait_s=waits[ceil(0.95 * len(waits)) - 1] if waits else 0.0,
        mean_done_s=sum(run.ended_s - run.job.submitted_s for run in runs) / len(runs) if runs else 0.0,
        slowdown=sum(map(_slowdown, runs)) / len(runs) if runs else 1.0,
        utilisation=utilisation,
        makespan_s=max(run.ended_s for run in runs) - min(run.job.submitted_s for run in runs)
        if runs
        else 0.0,
        given_h=given_s / 3600,
        used_h=used_s / 3600,
        balance_h=balance_s / 3600,
        alone_s=alone_s,
        relative=compared_s / alone_s if alone_s else None,
        loss_s=None if alone_s is None or not compared else compared_s - alone_s,
    )


def _slowdown(run: Run) -> float:
    took_s = run.ended_s - run.started_s
    return max(1.0, (run.wait_s + took_s) / max(took_s, SHORTEST_S))


def _jain(values: Sequence[float]) -> float:
    """Jain, Chiu, Hawe: A Quantitative Measure of Fairness and Discrimination (DEC-TR-301, 1984)."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values)) if values else 1.0


def _moved(runs: Sequence[Run]) -> Mapping[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = defaultdict(float)
    for run in runs:
        if run.provider != run.job.centre:
            found[run.provider, run.job.centre] += run.job.units * (run.ended_s - run.started_s)
    return found


def _utilisation(workload: Workload, runs: Sequence[Run]) -> dict[str, float]:
    """By centre, and for all under the empty name."""
    if not workload.jobs:
        return {}
    begin_s = min(job.submitted_s for job in workload.jobs)
    end_s = max(job.submitted_s for job in workload.jobs)
    there: dict[str, float] = defaultdict(float)
    levels: dict[tuple[str, str, bool], Step] = {}
    last = [
        Step(*key[:1], end_s, 0, key[1], private=key[2])
        for key in {(step.centre, step.resource_class, step.private) for step in workload.capacity}
    ]
    for step in sorted([*workload.capacity, *last], key=lambda each: each.at_s):
        key = (step.centre, step.resource_class, step.private)
        if (before := levels.get(key)) is not None:
            from_s, until_s = (min(max(at_s, begin_s), end_s) for at_s in (before.at_s, step.at_s))
            there[step.centre] += before.units * (until_s - from_s)
        levels[key] = step
    busy: dict[str, float] = defaultdict(float)
    for run in runs:
        from_s, until_s = (min(max(at_s, begin_s), end_s) for at_s in (run.started_s, run.ended_s))
        busy[run.provider] += run.job.units * (until_s - from_s)
    found = {centre: busy[centre] / units_s for centre, units_s in there.items() if units_s}
    return found | {"": sum(busy.values()) / sum(there.values()) if sum(there.values()) else 0.0}
