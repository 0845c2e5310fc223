"""What a killed process of a run left in the queue, until this one has a use for it or lets it go."""

from __future__ import annotations

import logging
from collections.abc import Collection

from fallow.errors import FallowError
from fallow.queue import JobRecord, JobState
from snakemake_executor_plugin_fallow.keys import target_of
from snakemake_executor_plugin_fallow.queuelike import QueueLike

log = logging.getLogger(__name__)

_USABLE = (JobState.WAITING, JobState.RUNNING, JobState.FINISHED)


class Leftovers:
    """Jobs of one run by key. The queue gives back the job that it has when its key is submitted again.

    Args:
        queue: Where the jobs are.
        run: The run's id.
    """

    def __init__(self, queue: QueueLike, run: str) -> None:
        self._queue = queue
        self._run = run
        self._jobs: dict[str, JobRecord] = {}

    def find(self, over: Collection[str]) -> int:
        """Look for them; those that are held are removed. Returns how many can be used.

        Args:
            over: Keys that the killed process had dealt with.

        Raises:
            FallowError: The queue cannot be asked.
        """
        there = self._queue.status(self._run)
        useless = [record.id for record in there.values() if record.state not in _USABLE]
        if useless:
            self._queue.remove(ids=useless, reason="Left by a workflow that was killed")
        usable = {key: record for key, record in there.items() if record.state in _USABLE}
        self._jobs = {key: record for key, record in usable.items() if key not in over}
        return len(self._jobs)

    def displace(self, keys: Collection[str]) -> None:
        """Before `keys` are submitted: use the same jobs, remove others that would make the same files.

        Raises:
            FallowError: They cannot be removed.
        """
        new = {target_of(key) for key in keys if self._jobs.pop(key, None) is None}
        stale = {key: record.id for key, record in self._jobs.items() if target_of(key) in new}
        if stale:
            self._queue.remove(ids=list(stale.values()), reason="The workflow has changed")
            self._jobs = {key: left for key, left in self._jobs.items() if key not in stale}

    def drop(self) -> None:
        """Let go of those that nothing had a use for; if that fails they only stay longer."""
        finished = [record.id for record in self._jobs.values() if record.state is JobState.FINISHED]
        others = [record.id for record in self._jobs.values() if record.state is not JobState.FINISHED]
        self._jobs = {}
        try:
            if finished:
                self._queue.take(finished)
            if others:
                self._queue.remove(ids=others, reason="The workflow has no use for it")
        except FallowError as error:
            log.info("jobs of a killed process could not be released: %s", error)
