"""The event loop: jobs come, start where the policy says, end. Deterministic: equal times are taken in a fixed order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from fallow_matcher.matching.policy import Group
from fallow_matcher.simulation.books import Books
from fallow_matcher.simulation.policies import Policy
from fallow_matcher.simulation.sites import NEVER, Machines, Piloted, Site
from fallow_matcher.simulation.waiting import Waiting
from fallow_matcher.simulation.workload import Job, Step, Workload

PROGRESS_EVERY = 4096
"""Jobs between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where and when a job ran, or tried to."""

    job: Job
    provider: str
    started_s: float
    ended_s: float

    @property
    def wait_s(self) -> float:
        """How long after it came the job started."""
        return self.started_s - self.job.submitted_s


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a workload: every job is either in `runs`, once, or in `unserved`."""

    runs: list[Run]
    """The runs that lasted, in the order in which they started."""
    evicted: list[Run]
    """Those that lost their place; their jobs waited again."""
    unserved: list[Job]
    """Jobs that no capacity was ever right for."""


def simulate(
    workload: Workload, policy: Policy, books: Books, progress: Callable[[int], None] | None = None
) -> Result:
    """Run a workload to its end.

    Args:
        workload: Jobs and capacity.
        policy: Who takes what.
        books: Balances, empty at first; they are kept up to date.
        progress: Told now and then how many jobs have come.
    """
    return _Simulation(workload, policy, books, progress).run()


class _Simulation:
    def __init__(
        self, workload: Workload, policy: Policy, books: Books, progress: Callable[[int], None] | None
    ) -> None:
        self._policy = policy
        self._books = books
        self._progress = progress
        self._jobs = sorted(workload.jobs, key=lambda job: job.submitted_s)
        self._steps = sorted(workload.capacity, key=lambda step: step.at_s)
        self._speed = workload.speed
        begin_s = self._jobs[0].submitted_s if self._jobs else 0.0
        self._sites: dict[str, dict[str, Site]] = defaultdict(dict)
        self._private: dict[str, dict[str, Site]] = defaultdict(dict)
        for step in self._steps:
            of = (self._private if step.private else self._sites)[step.resource_class]
            like = workload.pilots.get((step.centre, step.resource_class))
            if step.centre not in of:
                of[step.centre] = (
                    Piloted(step.centre, like, begin_s)
                    if like and not step.private
                    else Machines(step.centre)
                )
        walltimes: dict[str, list[float]] = defaultdict(list)
        for (_, kind), like in workload.pilots.items():
            walltimes[kind].append(like.walltime_s)
        self._waiting = {
            kind: Waiting(kind, walltimes[kind])
            for kind in {job.resource_class for job in self._jobs} | {*self._sites} | {*self._private}
        }
        self._piloted = [
            (kind, site)
            for kind, of in self._sites.items()
            for site in of.values()
            if isinstance(site, Piloted)
        ]
        self._ends: list[tuple[float, int]] = []
        self._runs: list[Run | None] = []
        self._at: list[Site] = []
        self._evicted: list[Run] = []
        self._lent: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)

    def run(self) -> Result:
        next_job = next_step = 0
        while True:
            step_s = self._steps[next_step].at_s if next_step < len(self._steps) else NEVER
            end_s = self._ends[0][0] if self._ends else NEVER
            job_s = self._jobs[next_job].submitted_s if next_job < len(self._jobs) else NEVER
            turn_s = min((site.due_s for _, site in self._piloted), default=NEVER)
            now_s = min(step_s, end_s, job_s)
            if now_s == NEVER and not self._hopeful():
                break
            now_s = min(now_s, turn_s)
            self._books.now_s = max(now_s, 0.0)
            if step_s == now_s:
                self._step(self._steps[next_step])
                next_step += 1
            elif end_s == now_s:
                self._end(heappop(self._ends)[1])
            elif turn_s == now_s:
                self._turn(now_s)
            else:
                self._come(self._jobs[next_job])
                next_job += 1
                if self._progress and next_job % PROGRESS_EVERY == 0:
                    self._progress(next_job)
        unserved = [job for waiting in self._waiting.values() for job in waiting]
        return Result([run for run in self._runs if run is not None], self._evicted, unserved)

    def _hopeful(self) -> bool:
        """Whether a job that waits while nothing runs could start in a pilot that is to come."""
        return any(
            site.could_ever(job)
            for kind, site in self._piloted
            for job in self._waiting[kind].first()
            if self._policy.places(self._group(job), [site.owner], self._books)
        )

    def _step(self, step: Step) -> None:
        site = (self._private if step.private else self._sites)[step.resource_class][step.centre]
        lost = site.resize(step.units, step.at_s, evicts=step.evicts)
        self._freed(site, step.resource_class, private=step.private)
        self._back(lost)

    def _turn(self, now_s: float) -> None:
        for kind, site in self._piloted:
            if site.due_s <= now_s:
                lost = site.turn(now_s)
                self._freed(site, kind)
                self._back(lost)

    def _end(self, index: int) -> None:
        run = self._runs[index]
        if run is None:  # it had lost its place before
            return
        site = self._at[index]
        site.end(index)
        if self._policy.takes_back:
            self._lent[run.provider, run.job.resource_class].pop(index, None)
        self._books.settle(run.job, run.provider, run.ended_s - run.started_s)
        self._policy.ended(run.job, self._books.now_s)
        private = site is self._private.get(run.job.resource_class, {}).get(run.provider)
        self._freed(site, run.job.resource_class, private=private)

    def _come(self, job: Job) -> None:
        """A job comes, or comes back. Where an older one of its shape waits there is no room for it either."""
        if self._waiting[job.resource_class].add(job):
            self._offer(job)

    def _offer(self, job: Job) -> None:
        """Start a waiting job, the first of its shape, if a site has room: no other that waits fits there."""
        now_s, kind = self._books.now_s, job.resource_class
        own = self._private.get(kind, {}).get(job.centre) if self._private else None
        if own is not None and own.fits(job, now_s):
            self._take(job, own)
            return
        sites = self._sites[kind]
        roomy = [name for name, site in sites.items() if site.free >= job.units and site.fits(job, now_s)]
        if not roomy:
            if self._policy.takes_back and job.centre in sites:
                self._take_back(job, sites[job.centre])
            return
        places = self._policy.places(self._group(job), roomy, self._books)
        if places:
            self._take(job, sites[places[0]])

    def _take_back(self, job: Job, home: Site) -> None:
        """End as many strangers' runs at a job's own centre as it needs, the youngest first."""
        lent = self._lent[job.centre, job.resource_class]
        lost: list[int] = []
        room = home.free
        for index in reversed(lent):
            if room >= job.units:
                break
            room += lent[index]
            lost.append(index)
        if room < job.units:
            return
        for index in lost:
            home.end(index)
        if home.fits(job, self._books.now_s):
            self._take(job, home)
        self._back(lost)

    def _take(self, job: Job, site: Site) -> None:
        waiting = self._waiting[job.resource_class]
        self._start(waiting.take(waiting.queue_of(job)), site)

    def _freed(self, site: Site, kind: str, *, private: bool = False) -> None:
        """Start what waits at a site that has room now, in the order of the policy."""
        waiting = self._waiting[kind]
        while waiting.jobs and site.free > 0:
            only = site.owner if private else None
            candidates = dict(waiting.fitting(site, self._books.now_s, only))
            chosen = self._policy.choose(list(candidates), site.owner, self._books) if candidates else None
            if chosen is None:
                return
            self._start(waiting.take(candidates[chosen]), site)

    def _start(self, job: Job, site: Site) -> None:
        now_s, index, provider = self._books.now_s, len(self._runs), site.owner
        takes_s = job.wall_s / self._speed.get(provider, 1.0) if self._speed else job.wall_s
        ends_s = now_s + (min(takes_s, job.requested_s) if site.limits else takes_s)
        site.start(index, job, now_s)
        self._books.charge(job, provider)
        self._policy.started(job, now_s)
        heappush(self._ends, (ends_s, index))
        self._runs.append(Run(job, provider, now_s, ends_s))
        self._at.append(site)
        if self._policy.takes_back and provider != job.centre:
            self._lent[provider, job.resource_class][index] = job.units

    def _back(self, lost: list[int]) -> None:
        """Runs that have lost their place: nobody is charged for them, and their jobs wait again since they came."""
        now_s = self._books.now_s
        jobs = []
        for index in lost:
            run = self._runs[index]
            if run is None:  # pragma: no cover - a site names each run once
                continue
            self._runs[index] = None
            self._lent[run.provider, run.job.resource_class].pop(index, None)
            self._books.void(run.job, run.provider, now_s - run.started_s)
            self._policy.ended(run.job, now_s)
            self._evicted.append(Run(run.job, run.provider, run.started_s, now_s))
            jobs.append(run.job)
        for job in sorted(jobs, key=lambda each: each.submitted_s):
            self._come(job)

    def _group(self, job: Job) -> Group:
        return Group(job.centre, job.work_type, job.resource_class, self._books.now_s - job.submitted_s, 1)
