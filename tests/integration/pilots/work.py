"""Jobs of a user at the desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallow.client import connect
from fallow.queue.hub import open_queue
from fallow.queue.records import JobRecord, JobState
from fallow.queue.spec import JobSpec
from fallow_testbed.wait import wait_until

USER = "alice"
STARTS = 'starts=$(sed -n "s/^NumJobStarts = //p" "$_CONDOR_JOB_AD");'
LONG = ("sh", "-c", f'{STARTS} test "${{starts:-0}}" -gt 0 || sleep 600')
"""A job that computes for ten minutes, but ends at once where it is started for the second time."""
STUBBORN = ("sh", "-c", f'{STARTS} trap "" TERM; while test "${{starts:-0}}" -lt 1; do sleep 0.2; done')
"""The same, but it does not stop when it is asked to."""


@dataclass
class Batch:
    """Jobs of one run of a user."""

    at: Callable[..., Any]
    run: str
    ids: dict[str, str]
    person: str = USER

    def records(self) -> dict[str, JobRecord]:
        """Each job's record by its name."""
        return dict(self.at(self.person, status_of, self.run))

    def wait(
        self, what: str, holds: Callable[[dict[str, JobRecord]], bool], deadline_s: float = 150
    ) -> dict[str, JobRecord]:
        """Wait until all jobs are in the queue and something holds of their records; returns these."""

        def met() -> dict[str, JobRecord]:
            found = self.records()
            return found if found.keys() == self.ids.keys() and holds(found) else {}

        return wait_until(met, what, deadline_s, pause_s=0.5)

    def wait_running(self, deadline_s: float = 150) -> None:
        """Wait until every job computes."""
        self.wait(
            f"the start of the jobs {', '.join(self.ids)}",
            lambda found: all(job.state is JobState.RUNNING and job.started for job in found.values()),
            deadline_s,
        )

    def wait_done(self, deadline_s: float = 180) -> dict[str, JobRecord]:
        """Wait until every job has ended well, as the same job that was submitted; their records."""
        found = self.wait(
            f"the end of the jobs {', '.join(self.ids)}",
            lambda found: all(job.state is JobState.FINISHED for job in found.values()),
            deadline_s,
        )
        assert all(job.succeeded for job in found.values()), found
        assert {name: job.id for name, job in found.items()} == self.ids, "a job was submitted again"
        return found

    def remove(self) -> None:
        """Take what is left of them out of the queue."""
        self.at(self.person, removed, self.run)


def submitted(run: str, specs: Sequence[dict[str, Any]]) -> list[str]:
    """Submit jobs; called at the desk."""
    usual = {"run": run, "directory": Path("/tmp"), "memory_mb": 128, "disk_mb": 64, "walltime_s": 600}
    return open_queue(connect()).submit([JobSpec(**{**usual, **spec}) for spec in specs])


def status_of(run: str) -> dict[str, JobRecord]:
    """The records of a run's jobs; called at the desk."""
    return dict(open_queue(connect()).status(run))


def removed(run: str) -> None:
    """Remove a run's jobs; called at the desk."""
    open_queue(connect()).remove(run=run)
