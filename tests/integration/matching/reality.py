"""The same small workload on the pool and in the simulator."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from tests.integration.matching.pool import HISTORY, PROVIDER, SLOTS, WALLTIME_S, Pool, cancelled, submitted

from fallow.rules import CPU, default_text, parse_rules
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.engine import simulate
from fallow_matcher.simulation.policies import ByRules
from fallow_matcher.simulation.workload import Job, Step, Workload
from fallow_testbed import hub
from fallow_testbed.wait import wait_until

OTHER = "birch"
CORES = {PROVIDER: SLOTS, OTHER: 1}
"""Slots of one core each that the pilots of the federation have."""
WORK = [("mona", 4), ("bob", 12), ("mona", 10), ("alice", 8)]
"""Who submits how many jobs, one after the other."""
CENTRES = {"mona": "cedar", "bob": "birch", "alice": "alder"}
SECONDS = 12
HOLD, HOLD_S = "reality-hold", 50
"""Jobs on all slots until the work is there; they are removed, and end of themselves if the test does not get to it."""
RULES = parse_rules(default_text())


@dataclass(frozen=True)
class Ran:
    """What the queue says of a job that has ended."""

    centre: str
    submitted: float
    started: float
    ended: float
    slot: str

    @property
    def provider(self) -> str:
        """Where it ran."""
        return OTHER if f"{OTHER}-" in self.slot else PROVIDER


def ran(pool: Pool) -> tuple[list[Ran], float]:
    """Run the work on all slots of the pool: what became of it, and when the slots became free (Unix time).

    The slots are held until the matcher has seen all of it: how long a submission takes is not compared.
    """
    pool.at("bob", submitted, "reality-warm", 1, "analysis", 1, OTHER, pool.image)
    pool.ended("reality-warm")
    for provider, cores in CORES.items():
        pool.at("alice", submitted, HOLD, cores, "analysis", HOLD_S, provider, pool.image)
    wait_until(lambda: all(job.started for job in pool.jobs([HOLD])), "jobs on all slots", 60)
    runs = [f"reality-{number}" for number in range(len(WORK))]
    for run, (person, count) in zip(runs, WORK, strict=True):
        pool.at(person, submitted, run, count, "analysis", SECONDS, None, pool.image)
    centres = {(CENTRES[person], "analysis") for person, _ in WORK}
    wait_until(lambda: centres <= pool.places().keys(), "the matcher's look at all of the work", 60)
    pool.at("alice", cancelled, HOLD)
    free = time.time()
    wait_until(lambda: all(job.done for job in pool.jobs(runs)), "the jobs of the comparison", 240, pause_s=1)
    attributes = "Owner,QDate,JobCurrentStartDate,CompletionDate,LastRemoteHost"
    wanted = " || ".join(f'FallowRun == "{run}"' for run in runs)
    text = pool.operator(
        "condor_q", "-name", hub.QUEUE, "-all", "-json", "-attributes", attributes, "-constraint", wanted
    )
    pool.ended(*runs)
    jobs = [
        Ran(
            ad["Owner"].split(".")[0],
            ad["QDate"],
            ad["JobCurrentStartDate"],
            ad["CompletionDate"],
            ad["LastRemoteHost"],
        )
        for ad in json.loads(text)
    ]
    return jobs, free


def pause_s(jobs: Sequence[Ran], free: float) -> float:
    """How long a free slot stands still before a job on average: the negotiator's next cycle, the start of a container.

    Slots are cut anew for each job, so the starts and the ends at one centre are paired in their order.
    """
    pauses = []
    for provider, cores in CORES.items():
        here = sorted((job for job in jobs if job.provider == provider), key=lambda job: job.started)
        pauses += [job.started - free for job in here[:cores]]
        ends = sorted(job.ended for job in here)
        pauses += [job.started - end for job, end in zip(here[cores:], ends, strict=False)]
    return mean(pauses)


def foretold(jobs: Sequence[Ran], free: float) -> dict[str, float]:
    """The mean wait of each centre's jobs by the simulator, from when they came, how long they ran and the pause."""
    books = Books(RULES)
    for provider, consumer, value in HISTORY:
        books.enter(provider, consumer, CPU, value)
    pause = pause_s(jobs, free)
    begin = min(job.submitted for job in jobs)
    work = [
        Job(
            job.centre,
            job.submitted - begin,
            job.ended - job.started + pause,
            WALLTIME_S,
            work_type=RULES.default_work_type,
        )
        for job in jobs
    ]
    slots = [Step(provider, free - begin, cores) for provider, cores in CORES.items()]
    result = simulate(Workload(work, slots), ByRules(RULES), books)
    # The pause is before a job, not after it: what the simulator starts is then matched, and starts at its end.
    return means((run.job.centre, run.wait_s + pause) for run in result.runs)


def seen(jobs: Sequence[Ran]) -> dict[str, float]:
    """The mean wait of each centre's jobs as they were."""
    return means((job.centre, job.started - job.submitted) for job in jobs)


def means(waits: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The mean of each centre's waits."""
    found: dict[str, list[float]] = defaultdict(list)
    for centre, wait in waits:
        found[centre].append(wait)
    return {centre: mean(each) for centre, each in found.items()}


def by_wait(waits: Mapping[str, float]) -> list[str]:
    """Centres, the one that waits least first."""
    return sorted(waits, key=lambda centre: waits[centre])
