"""What federating brings by policy, over dealings of a trace and over generated work; docs/explanation/simulation.md has it.

Usage: python -m tests.benchmarks.bench_simulation [TRACE.swf.gz]

The trace is LCG-2005-1 of the Parallel Workloads Archive (thanks to Hui Li); it is not part of this repository. Without one
only generated work is simulated. Nothing is timed but the last case: the same figures come out on every machine.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import conditions, tell
from tests.benchmarks.simulation_tables import CENTRES, tables

from fallow.rules import default_text, parse_rules
from fallow_matcher.simulation import swf
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.cheats import attempts
from fallow_matcher.simulation.engine import simulate
from fallow_matcher.simulation.generate import DAY_S, Stream, draw
from fallow_matcher.simulation.metrics import figures
from fallow_matcher.simulation.policies import ByRules
from fallow_matcher.simulation.study import BUILT_IN, cheating, compare
from fallow_matcher.simulation.workload import Job, Workload, steady

TITLE = "What federating brings, simulated"
LOADS = (0.8, 0.95)
RULES = parse_rules(default_text())
GENERATED = 5
DEALINGS = 2


def dealt(records: Sequence[swf.Record], seed: int) -> list[Job]:
    """A trace's groups dealt at random: in random order, each to the centre that lacks most of a random share."""
    dice = random.Random(seed)
    work: dict[str, float] = defaultdict(float)
    for record in records:
        work[record.group] += record.run_s * record.cores
    groups = sorted(work)
    dice.shuffle(groups)
    share = {centre: dice.uniform(0.5, 2) for centre in CENTRES}
    has = dict.fromkeys(CENTRES, 0.0)
    home = {}
    for group in groups:
        home[group] = min(has, key=lambda centre: has[centre] / share[centre])
        has[home[group]] += work[group]
    return [
        Job(home[each.group], each.submitted_s, each.run_s, max(each.requested_s, each.run_s), each.cores)
        for each in records
    ]


def generated(seed: int) -> list[Job]:
    """Ten days of bursts with long tails: some 36,000 jobs of three centres, one of four times the others' demand."""
    jobs = []
    for centre, cores in zip(CENTRES, (200, 50, 50), strict=True):
        stream = Stream(jobs_per_day=12 * cores, burst=100, mean_s=7200, spread=1.5, requested=10)
        jobs += draw(stream, centre, 10 * DAY_S, random.Random(f"{seed} {centre}"))
    return sorted(jobs, key=lambda job: job.submitted_s)


def sized(jobs: Sequence[Job], load: float) -> Workload:
    """Capacity for a load: each centre's demand divided by it."""
    span_s = jobs[-1].submitted_s - jobs[0].submitted_s
    demand = {
        name: sum(job.wall_s * job.units for job in jobs if job.centre == name) / span_s for name in CENTRES
    }
    return Workload(jobs, steady({name: max(1, round(demand[name] / load)) for name in CENTRES}))


def measured(name: str, jobs: Sequence[Job], load: float, *, cheats: bool) -> dict[str, Any]:
    """One case at one load: every policy; the third centre giving a tenth; and what else it may try."""
    workload = sized(jobs, load)
    found = compare(workload, list(BUILT_IN), RULES, {})
    alone = found[0]
    waits = {each.centre: each.mean_wait_s for each in alone.centres}
    rider = attempts(workload, CENTRES[2])[0].workload
    tenth = {}
    for each in compare(rider, ["first come", "home first", "fallow", "take back"], RULES, {})[1:]:
        tenth[each.policy] = {
            own.centre: own.mean_wait_s / waits[own.centre] if waits[own.centre] else None
            for own in each.centres
        }
    honest = next(each for each in found if each.policy == "fallow")
    told: dict[str, Any] = {
        "case": name,
        "load": load,
        "jobs": len(jobs),
        "cores": {step.centre: step.units for step in workload.capacity},
        "alone_min": {
            "all": alone.total.mean_wait_s / 60,
            **{name: wait_s / 60 for name, wait_s in waits.items()},
        },
        "policies": {
            each.policy: {
                "mean_min": each.total.mean_wait_s / 60,
                "cut": each.cut,
                "relative": {own.centre: own.relative for own in each.centres},
                "slowdown": each.total.slowdown,
                "jain": each.jain,
                "exchanged": each.exchanged,
                "evictions": each.evictions,
            }
            for each in found
        },
        "tenth": tenth,
        "cheats": {
            each.strategy: {"gain": each.gain, "others": each.others}
            for each in (cheating(workload, CENTRES[2], honest, alone, RULES) if cheats else [])
        },
    }
    print(f"{name}, load {load}", file=sys.stderr, flush=True)
    return told


def cases(trace: Path | None) -> Iterator[tuple[str, list[Job], bool]]:
    """What is simulated: its name, its jobs, and whether cheating is."""
    for seed in range(1, GENERATED + 1):
        yield f"generated {seed}", generated(seed), True
    if trace is not None:
        records = swf.read(trace)
        yield "LCG by demand", swf.deal(records, CENTRES, ""), True
        for seed in range(1, DEALINGS + 1):
            yield f"LCG dealing {seed}", dealt(records, seed), False


def million() -> dict[str, float]:
    """A million jobs under the rules: processor time of the simulation and its figures, and memory of the process."""
    jobs = []
    for centre, part in zip(CENTRES, (0.6, 0.2, 0.2), strict=True):
        stream = Stream(
            jobs_per_day=part * 1.02e6 / 30, burst=100, mean_s=7200, spread=1.5, cores=[1, 1, 1, 2, 4, 8]
        )
        jobs += draw(stream, centre, 30 * DAY_S, random.Random(centre))
    workload = sized(sorted(jobs, key=lambda job: job.submitted_s), 0.8)
    began = time.process_time()
    books = Books(RULES)
    figures("fallow", workload, simulate(workload, ByRules(RULES), books), books, None)
    took_s = time.process_time() - began
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"jobs": len(jobs), "cpu_s": took_s, "memory_mb": most_mb}


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at: Fallow's rules in each case."""
    return [
        {
            "work": case["case"],
            "load": f"{case['load']:.0%}",
            "jobs": f"{case['jobs']:,}",
            "mean wait alone": f"{case['alone_min']['all']:.0f} min",
            "cut by": f"{case['policies']['fallow']['cut']:.1%}",
            "each centre beside alone": beside(case["policies"]["fallow"]["relative"]),
            "third gives a tenth": beside(case["tenth"]["fallow"]),
        }
        for case in figures["cases"]
    ]


def beside(waits: dict[str, float | None]) -> str:
    """The centres' waits beside what they wait alone."""
    return " ".join(f"{waits[centre] or 0:.2f}" for centre in CENTRES)


def more(figures: dict[str, Any]) -> Iterator[str]:
    """All policies, for the page about the simulation."""
    yield from tables(figures)


def main() -> None:
    """Simulate all cases at all loads, and show."""
    about = conditions()
    trace = Path(sys.argv[1]) if sys.argv[1:] else None
    found = {
        "rules": {
            "balance_factor": RULES.balance_factor,
            "credit_line": RULES.credit_line,
            "half_life_s": RULES.half_life_s,
        },
        "million": million(),
        "cases": [
            measured(name, jobs, load, cheats=cheats) for name, jobs, cheats in cases(trace) for load in LOADS
        ],
    }
    tell("simulation", TITLE, about, found, table)


if __name__ == "__main__":
    main()
