"""The jobs that wait, as the groups that compete."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator

from fallow_matcher.matching.policy import Group
from fallow_matcher.simulation.sites import Site
from fallow_matcher.simulation.workload import Job

Queue = deque[Job]


class Waiting:
    """The jobs of one resource class that wait, the oldest first within centre, work type and shape.

    Args:
        resource_class: The class.
        by_length: Whether it matters how long a job asks for; else jobs of one size are of one shape.
    """

    def __init__(self, resource_class: str, *, by_length: bool) -> None:
        self.jobs = 0
        self._class = resource_class
        self._by_length = by_length
        self._queues: dict[tuple[str, str], dict[tuple[int, float], Queue]] = {}

    def add(self, job: Job) -> bool:
        """Let a job wait; whether it is the first of its shape."""
        shapes = self._queues.setdefault((job.centre, job.work_type), {})
        shape = (job.units, job.requested_s if self._by_length else 0.0)
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
        shape = (job.units, job.requested_s if self._by_length else 0.0)
        return self._queues[job.centre, job.work_type][shape]

    def __iter__(self) -> Iterator[Job]:
        return (job for shapes in self._queues.values() for queue in shapes.values() for job in queue)
