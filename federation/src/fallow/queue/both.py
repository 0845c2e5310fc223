"""The queues of a federation's two hubs, seen as one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, TypeVar

from fallow.errors import NotAvailableError
from fallow.queue.client import Queue, different
from fallow.queue.ids import place_of
from fallow.queue.records import JobRecord, JobState, record, usable
from fallow.queue.session import LOCK
from fallow.queue.spec import JobSpec

log = logging.getLogger(__name__)

AWAY_S = 60.0
"""How long a queue that gave no answer is left alone while the other one answers."""

REACHED_S = 15.0
"""How long a queue that answered is taken to be there."""

T = TypeVar("T")


class Queues:
    """One user's view of both queues of a federation, with the calls of `Queue`. Safe to use from several threads.

    New jobs go to one queue, and to the other while that gives no answer. Jobs of a queue that gives none are said to be
    what they were when it was seen last: they may run on, and are found again when it is back.

    Args:
        queues: The first and the second queue, as their job ids have it.
        own: Which of them, 0 or 1, new jobs go to.
        clock: Seconds; tests give their own.
    """

    def __init__(
        self, queues: Sequence[Queue], own: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._queues = tuple(queues)
        self._order = (own, 1 - own)
        self._clock = clock
        self._away_until = [float("-inf"), float("-inf")]
        self._reached_until = [float("-inf"), float("-inf")]
        self._seen: tuple[dict[str, dict[str, JobRecord]], ...] = ({}, {})
        self.silent: tuple[str, ...] = ()
        """The queues that did not answer the last call for jobs; theirs are not in its answer, or are as they were."""

    def submit(self, specs: Sequence[JobSpec]) -> list[str]:
        """As `Queue.submit`. What a queue that does not answer has of these keys is not known: such a job may run twice.

        Raises:
            NotAvailableError: Neither queue takes them.
        """
        different(specs)
        with LOCK:
            ids = self._there(specs)
            new = [spec for spec in specs if (spec.run, spec.key) not in ids]
            if new:
                ids.update(zip(((spec.run, spec.key) for spec in new), self._submit_new(new)))
            return [ids[spec.run, spec.key] for spec in specs]

    def status(self, run: str, *, ended: bool = False) -> dict[str, JobRecord]:
        """As `Queue.status`; where both queues have a key, the job that was submitted later counts.

        One that is still coming counts for nothing beside another: it is what a queue that was lost in that moment kept.
        """
        found: dict[str, JobRecord] = {}
        answers = dict(self._each(lambda queue: queue.status(run, ended=ended)))
        for place in self._order:  # within one second the other queue was asked later
            answer = answers[place]
            if answer is not None and not ended:
                self._seen[place][run] = answer
            there = answer if answer is not None else {} if ended else self._last(place, run)
            others = self._seen[1 - place].get(run, {})
            for key, job in there.items():
                before = found.get(key)
                if before is None and _comes(job) and key in others and not _comes(others[key]):
                    continue  # the other queue has it, and has no news of it
                if before is None or _rank(before) <= _rank(job):
                    found[key] = job
        return found

    def jobs(self, run: str | None = None) -> list[JobRecord]:
        """As `Queue.jobs`, of the queues that answer."""
        return [job for _, answer in self._each(lambda queue: queue.jobs(run)) for job in answer or ()]

    def ads(self, ids: Sequence[str]) -> dict[str, Any]:
        """As `Queue.ads`."""
        return {job: ad for found in self._of(ids, Queue.ads) for job, ad in found.items()}

    def history(self, ids: Sequence[str]) -> dict[str, JobRecord]:
        """As `Queue.history`."""
        return {key: job for found in self._of(ids, Queue.history) for key, job in found.items()}

    def remove(
        self, *, run: str | None = None, ids: Sequence[str] = (), reason: str = "Removed by owner"
    ) -> int:
        """As `Queue.remove`.

        Raises:
            NotAvailableError: A queue did not answer; in the other one the jobs were removed.
        """

        def remove(queue: Queue, mine: Sequence[str]) -> int:
            return queue.remove(run=run, ids=mine, reason=reason)

        return sum(self._of(ids, remove, every=run is not None))

    def take(self, ids: Sequence[str]) -> None:
        """As `Queue.take`."""
        self._of(ids, Queue.take)

    def prioritise(self, ids: Sequence[str], priority: int) -> None:
        """As `Queue.prioritise`."""
        self._of(ids, lambda queue, mine: queue.prioritise(mine, priority))

    def fetch(self, job: str, *, into: Path) -> None:
        """As `Queue.fetch`."""
        self._of([job], lambda queue, mine: queue.fetch(mine[0], into=into))

    def _last(self, place: int, run: str) -> dict[str, JobRecord]:
        """The jobs of a run in a queue that is silent. One that was about to be let go may run: nobody can say that it is
        still coming.
        """
        return {
            key: replace(job, state=JobState.WAITING) if _comes(job) else job
            for key, job in self._seen[place].get(run, {}).items()
        }

    def _there(self, specs: Sequence[JobSpec]) -> dict[tuple[str, str], str]:
        """The ids of those jobs that a queue has already, by run and key; those of one's own queue count first."""
        found: dict[tuple[str, str], str] = {}
        for run in {spec.run for spec in specs}:
            answers = dict(self._each(lambda queue, run=run: queue.keys(run)))  # type: ignore[misc]
            for place in reversed(self._order):
                keys = answers[place]
                if keys is None:
                    log.warning("%s may have jobs of %s: they may run twice", self._queues[place].name, run)
                    keys = usable(self._seen[place].get(run, {}))
                found.update({(run, key): job for key, job in keys.items()})
        wanted = {(spec.run, spec.key) for spec in specs}
        return {key: job for key, job in found.items() if key in wanted}

    def _submit_new(self, specs: Sequence[JobSpec]) -> list[str]:
        last, other = self._order
        try:
            return self._submit_to(last, specs)
        except NotAvailableError as error:
            log.warning("%s; asking %s", error.what, self._queues[other].name)
        return self._submit_to(other, specs)

    def _submit_to(self, place: int, specs: Sequence[JobSpec]) -> list[str]:
        jobs = self._ask(place, lambda queue: queue.submit(specs))
        for spec, job in zip(specs, jobs):
            cluster, _, process = job.partition(".")
            ad = {"ClusterId": int(cluster), "ProcId": int(process), "FallowRun": spec.run, "JobStatus": 1}
            new = record({**ad, "FallowKey": spec.key, "FallowName": spec.name})
            self._seen[place].setdefault(spec.run, {})[spec.key] = new
        return jobs

    def _each(self, call: Callable[[Queue], T]) -> list[tuple[int, T | None]]:
        """What each queue answers, by its place; None for one that does not.

        Raises:
            NotAvailableError: Neither does.
        """
        answers: list[tuple[int, T | None]] = []
        wrong: list[NotAvailableError] = []
        for place in (0, 1):
            try:
                answers.append((place, self._ask(place, call)))
            except NotAvailableError as error:
                answers.append((place, None))
                wrong.append(error)
        if len(wrong) == len(answers):
            raise wrong[self._order[0]]
        self.silent = tuple(self._queues[place].name for place, answer in answers if answer is None)
        return answers

    def _of(
        self, ids: Sequence[str], call: Callable[[Queue, Sequence[str]], T], *, every: bool = False
    ) -> list[T]:
        """What the queues of these jobs answer; with `every`, those that have none of them are asked as well.

        Raises:
            NotAvailableError: One of them does not answer; the other was asked all the same.
        """
        answers: list[T] = []
        wrong: NotAvailableError | None = None
        for place, mine in self._dealt(ids):
            if mine or every:
                try:
                    self._refuse_away(place)
                    answers.append(call(self._queues[place], mine))
                except NotAvailableError as error:
                    wrong = error
        if wrong is not None:
            raise wrong
        return answers

    def _dealt(self, ids: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        places = [place_of(job) for job in ids]
        for place in (0, 1):
            yield place, [job for job, given_by in zip(ids, places) if given_by == place]

    def _ask(self, place: int, call: Callable[[Queue], T]) -> T:
        """What a queue answers; one that gave no answer is not asked again for a while."""
        self._refuse_away(place)
        queue = self._queues[place]
        try:
            if self._clock() >= self._reached_until[place]:
                queue.reach()
            answer = call(queue)
        except NotAvailableError:
            self._away_until[place] = self._clock() + AWAY_S
            raise
        self._reached_until[place] = self._clock() + REACHED_S
        return answer

    def _refuse_away(self, place: int) -> None:
        now = self._clock()
        if now < self._away_until[place] and now >= self._away_until[1 - place]:
            raise NotAvailableError(f"{self._queues[place].name} did not answer.", retryable=True)


def _comes(job: JobRecord) -> bool:
    return job.state is JobState.STAGING


def _rank(job: JobRecord) -> tuple[bool, int]:
    return not _comes(job), job.submitted or 0
