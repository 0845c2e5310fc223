"""The event loop: jobs come, start where the policy says, end. Deterministic: equal times are taken in a fixed order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from fallow_matcher.matching.policy import Group
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.policies import Policy
from fallow_matcher.simulation.workload import Job, Workload


@dataclass(frozen=True, slots=True)
class Run:
    """Where and when a job ran."""

    job: Job
    provider: str
    started_s: float

    @property
    def wait_s(self) -> float:
        """How long the job waited."""
        return self.started_s - self.job.submitted_s


class _Waiting:
    """The jobs of one resource class that wait: first come, first served within centre, work type and size."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], dict[int, deque[Job]]] = {}
        self.jobs = 0

    def add(self, job: Job) -> bool:
        """Let a job wait; whether it is the first of its size."""
        sizes = self._queues.setdefault((job.centre, job.work_type), {})
        queue = sizes.setdefault(job.units, deque())
        queue.append(job)
        self.jobs += 1
        return len(queue) == 1

    def groups(self, resource_class: str, units: int, now_s: float) -> Iterator[tuple[Group, deque[Job]]]:
        """Each group that has a job of at most `units`, with the queue of its oldest one."""
        for (centre, work_type), sizes in self._queues.items():
            fitting = [queue for size, queue in sizes.items() if size <= units and queue]
            if fitting:
                queue = min(fitting, key=lambda each: each[0].submitted_s) if len(fitting) > 1 else fitting[0]
                jobs = sum(map(len, fitting))
                wait_s = now_s - queue[0].submitted_s
                yield Group(centre, work_type, resource_class, wait_s, jobs), queue


def simulate(workload: Workload, policy: Policy, books: Books) -> list[Run]:
    """Run a workload to its end.

    Capacity that goes away while it is used is gone as soon as the jobs on it end: nothing is evicted.

    Args:
        workload: Jobs and capacity; jobs that no capacity ever fits do not run.
        policy: Who takes what.
        books: Balances, empty at first; they are kept up to date.

    Returns:
        The runs in the order in which they started.
    """
    return _Simulation(workload, policy, books).run()


class _Simulation:
    def __init__(self, workload: Workload, policy: Policy, books: Books) -> None:
        self._policy = policy
        self._books = books
        self._jobs = sorted(workload.jobs, key=lambda job: job.submitted_s)
        self._steps = sorted(workload.capacity, key=lambda step: step.at_s)
        self._capacity: dict[tuple[str, str], int] = defaultdict(int)
        self._free: dict[str, dict[str, int]] = defaultdict(dict)
        self._waiting: dict[str, _Waiting] = defaultdict(_Waiting)
        self._ends: list[tuple[float, int]] = []
        self._runs: list[Run] = []

    def run(self) -> list[Run]:
        never = float("inf")
        next_job = next_step = 0
        while next_job < len(self._jobs) or self._ends or next_step < len(self._steps):
            step_s = self._steps[next_step].at_s if next_step < len(self._steps) else never
            end_s = self._ends[0][0] if self._ends else never
            job_s = self._jobs[next_job].submitted_s if next_job < len(self._jobs) else never
            now_s = min(step_s, end_s, job_s)
            self._books.now_s = max(now_s, 0.0)
            if step_s == now_s:
                self._resize(next_step)
                next_step += 1
            elif end_s == now_s:
                self._end(heappop(self._ends)[1])
            else:
                self._arrive(self._jobs[next_job])
                next_job += 1
        return self._runs

    def _resize(self, index: int) -> None:
        step = self._steps[index]
        key = (step.centre, step.resource_class)
        free = self._free[step.resource_class]
        free[step.centre] = free.get(step.centre, 0) + step.units - self._capacity[key]
        self._capacity[key] = step.units
        self._serve(step.resource_class)

    def _end(self, index: int) -> None:
        run = self._runs[index]
        self._books.settle(run.job, run.provider)
        self._free[run.job.resource_class][run.provider] += run.job.units
        self._serve(run.job.resource_class)

    def _arrive(self, job: Job) -> None:
        waiting = self._waiting[job.resource_class]
        # Where older jobs of its size wait, none of them fits anywhere, and neither does this one.
        if waiting.add(job):
            self._serve(job.resource_class)

    def _serve(self, resource_class: str) -> None:
        """Start jobs until none that waits fits a provider with room that takes it."""
        waiting = self._waiting[resource_class]
        free = self._free[resource_class]
        while waiting.jobs:
            roomy = [provider for provider, units in free.items() if units > 0]
            started = False
            for provider in roomy:
                candidates = dict(waiting.groups(resource_class, free[provider], self._books.now_s))
                chosen = self._policy.choose(list(candidates), provider, self._books)
                if chosen is None:
                    continue
                queue = candidates[chosen]
                fitting = [name for name in roomy if free[name] >= queue[0].units]
                place = self._policy.places(chosen, fitting, self._books)[0]
                waiting.jobs -= 1
                self._start(queue.popleft(), place)
                started = True
                break
            if not started:
                return

    def _start(self, job: Job, provider: str) -> None:
        now_s = self._books.now_s
        self._free[job.resource_class][provider] -= job.units
        self._books.charge(job, provider)
        heappush(self._ends, (now_s + job.wall_s, len(self._runs)))
        self._runs.append(Run(job, provider, now_s))
