"""A person's own jobs: looked up by the hub's right to read the queue, removed with a token of that person alone."""

from __future__ import annotations

import threading

from fallow.errors import NotAvailableError
from fallow.queue.records import PROJECTION, JobRecord, record
from fallow_matcher.campaigns.submitter import Submitters
from fallow_matcher.gateway.access import User
from fallow_matcher.identities import user_identity
from fallow_matcher.pool import Pool
from fallow_matcher.settings import HubSettings

MOST = 200
"""Jobs that are shown at once."""


class OwnJobs:
    """Jobs in the queue that a person submitted; those of campaigns are left to the campaigns' own pages.

    Args:
        settings: The hub's settings.
        pool: The hub's pool.
    """

    def __init__(self, settings: HubSettings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._lock = threading.Lock()
        self._submitters = Submitters(settings)

    def of(self, person: User) -> list[JobRecord]:
        """The latest jobs of a person, `MOST` at most, the newest first.

        Raises:
            NotAvailableError: The queue does not answer.
        """
        import classad2

        user = classad2.quote(self.identity(person))
        constraint = f'User == {user} && !regexp("^campaign[.]", FallowRun ?: "")'
        found = [record(ad) for ad in self._pool.jobs(constraint, PROJECTION, MOST)]
        return sorted(found, key=lambda job: job.submitted or 0, reverse=True)

    def one(self, person: User, job: str) -> JobRecord | None:
        """A job of a person; None where the queue has no such job of that person.

        Raises:
            NotAvailableError: The queue does not answer.
        """
        return next(map(record, self._pool.jobs(self._only(person, job), PROJECTION, 1)), None)

    def past(self, person: User, job: str) -> JobRecord | None:
        """The same of a job that has left the queue.

        Raises:
            NotAvailableError: The queue does not answer.
        """
        return next(map(record, self._pool.history(self._only(person, job), PROJECTION, 1)), None)

    def remove(self, person: User, job: str) -> None:
        """Take a job back; the queue sees its owner do it, and refuses another's job.

        Raises:
            NotAvailableError: It did not.
        """
        with self._lock:
            wrong = self._submitters.remove(person.centre, person.name, [job], "by its owner, on the page")
        if wrong:
            raise NotAvailableError(f"The job was not removed: {wrong}")

    def _only(self, person: User, job: str) -> str:
        import classad2

        cluster, _, proc = job.partition(".")
        user = classad2.quote(self.identity(person))
        return f"User == {user} && ClusterId == {int(cluster)} && ProcId == {int(proc)}"

    def identity(self, person: User) -> str:
        """The person as HTCondor names it."""
        return user_identity(person.centre, person.name, self._settings.trust_domain)

    def close(self) -> None:
        """End the processes that act for people."""
        self._submitters.close()
