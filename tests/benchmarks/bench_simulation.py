"""Rules on a recorded trace: waits beside isolation, by policy; docs/explanation/simulation.md has the figures.

Usage: python tests/benchmarks/bench_simulation.py TRACE.swf.gz [LOAD]

The trace is LCG-2005-1 of the Parallel Workloads Archive (thanks to Hui Li); it is not part of this repository. Without one
a workload of the same kind is generated. Its groups are dealt to three centres by demand, capacity is demand / LOAD.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from fallow.rules import default_text, parse_rules
from fallow_matcher.simulation import swf
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import simulate
from fallow_matcher.simulation.policies import ByRules, FirstCome, Isolated, Policy
from fallow_matcher.simulation.workload import Job, Workload, steady

CENTRES = ("first", "second", "third")
DAY_S = 86_400
RULES = default_text().replace("half_life_s = 604800", f"half_life_s = {DAY_S}")


def generated() -> list[swf.Record]:
    """Four days of bursts with long tails: about 30,000 jobs of five groups, requested longer than they run."""
    dice = random.Random(1)
    records = []
    for group, bursts in (("a", 180), ("b", 45), ("c", 45), ("d", 20), ("e", 20)):
        for _ in range(bursts):
            burst_s = dice.uniform(0, 4 * DAY_S)
            for _ in range(1 + int(dice.expovariate(1 / 100))):
                length_s = min(2 * DAY_S, dice.lognormvariate(7, 1.5))
                requested_s = min(3 * DAY_S, length_s * dice.uniform(1, 20))
                records.append(swf.Record(burst_s + dice.uniform(0, 600), length_s, 1, requested_s, group))
    return sorted(records, key=lambda record: record.submitted_s)


def waits_s(jobs: Sequence[Job], cores: dict[str, int], policy: Policy) -> dict[str, float]:
    """The mean wait of each centre's jobs, and of all."""
    found: dict[str, list[float]] = defaultdict(list)
    for run in simulate(Workload(jobs, steady(cores)), policy, Books(parse_rules(RULES))).runs:
        found[run.job.centre].append(run.wait_s)
        found["all"].append(run.wait_s)
    return {centre: mean(waits) for centre, waits in found.items()}


def main() -> None:
    """Print one line for each policy."""
    trace = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    load = float(sys.argv[2]) if len(sys.argv) > 2 else 0.8
    jobs = swf.deal(swf.read(trace) if trace else generated(), CENTRES, "analysis")
    span_s = jobs[-1].submitted_s - jobs[0].submitted_s
    demand = {name: sum(job.wall_s for job in jobs if job.centre == name) / span_s for name in CENTRES}
    cores = {name: max(1, round(demand[name] / load)) for name in CENTRES}
    poor = cores | {CENTRES[2]: max(1, cores[CENTRES[2]] // 10)}
    print(f"{len(jobs)} jobs of {trace.name if trace else 'a generated trace'}, cores {cores}, load {load}")
    alone = waits_s(jobs, cores, Isolated())
    print(f"isolated: {alone['all'] / 60:.0f} min")
    policies: dict[str, Policy] = {
        "first come, first served": FirstCome(),
        "score without home first": ByRules(
            parse_rules(RULES.replace("home_first = true", "home_first = false"))
        ),
        "home first and score": ByRules(parse_rules(RULES)),
    }
    for name, policy in policies.items():
        began = time.perf_counter()
        told = []
        for sizes in (cores, poor):
            found = waits_s(jobs, sizes, policy)
            told.append(
                f"{found['all'] / 60:4.0f} min "
                + " ".join(f"{found[each] / alone[each]:.2f}" for each in CENTRES)
            )
        took_s = time.perf_counter() - began
        print(f"{name:26} all contribute: {told[0]}   third gives a tenth: {told[1]}   ({took_s:.1f} s)")


if __name__ == "__main__":
    main()
