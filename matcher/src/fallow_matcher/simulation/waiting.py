"""The jobs that wait, as the groups that compete."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil, log2

from fallow_matcher.matching.policy import Group
from fallow_matcher.simulation.sites import Site
from fallow_matcher.simulation.workload import Job

Queue = deque[Job]
Shape = tuple[int, int, int]
"""Units, length, and how many kinds of pilots live long enough."""


class Waiting:
    """The jobs of one resource class that wait, the oldest first within centre, work type and shape.

    Args:
        resource_class: The class.
        walltimes: Of pilots of the class. Without any, jobs of one size are of one shape; else it matters how long they ask
            for: lengths are alike within a factor of the square root of two, if the same pilots live long enough for them.
    """

    def __init__(self, resource_class: str, walltimes: Sequence[float]) -> None:
        self.jobs = 0
        self._class = resource_class
        self._walltimes = walltimes
        self._queues: dict[tuple[str, str], dict[Shape, Queue]] = {}

    def _shape(self, job: Job) -> Shape:
        if not self._walltimes:
            return job.units, 0, 0
        enough = sum(walltime_s >= job.requested_s for walltime_s in self._walltimes)
        return job.units, ceil(2 * log2(max(1.0, job.requested_s))), enough

    def add(self, job: Job) -> bool:
        """Let a job wait; whether it is the first of its shape."""
        shapes = self._queues.setdefault((job.centre, job.work_type), {})
        shape = self._shape(job)
        queue = shapes.get(shape)
        if queue is None:
            queue = shapes[shape] = deque()
        self.jobs += 1
        if queue and job.submitted_s < queue[-1].submitted_s:  # it ran before and lost its place
            ordered = list(queue)
            insort(ordered, job, key=lambda each: each.submitted_s)
            queue.clear()
            queue.extend(ordered)
            return queue[0] is job
        queue.append(job)
        return len(queue) == 1

    def take(self, queue: Queue) -> Job:
        """The first of a queue, which waits no longer."""
        self.jobs -= 1
        return queue.popleft()

    def fitting(self, site: Site, now_s: float, only: str | None) -> Iterator[tuple[Group, Queue]]:
        """Each group that has a job which a site could start, with the queue of its oldest such job.

        Args:
            site: The site.
            now_s: The moment.
            only: The centre whose jobs alone it takes; None for all.
        """
        for (centre, work_type), shapes in self._queues.items():
            if only is not None and centre != only:
                continue
            best: Queue | None = None
            jobs = 0
            for shape, queue in shapes.items():
                if queue and shape[0] <= site.free and site.fits(queue[0], now_s):
                    jobs += len(queue)
                    if best is None or queue[0].submitted_s < best[0].submitted_s:
                        best = queue
            if best is not None:
                yield Group(centre, work_type, self._class, now_s - best[0].submitted_s, jobs), best

    def queue_of(self, job: Job) -> Queue:
        """The queue that a waiting job is in."""
        return self._queues[job.centre, job.work_type][self._shape(job)]

    def first(self) -> Iterator[Job]:
        """The oldest job of each shape."""
        return (queue[0] for shapes in self._queues.values() for queue in shapes.values() if queue)

    def __iter__(self) -> Iterator[Job]:
        return (job for shapes in self._queues.values() for queue in shapes.values() for job in queue)
