"""The queue client: few, large calls to one schedd, each authenticated with a fresh enough token."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Protocol

from fallow.errors import FallowError, FullError, NotAvailableError, RefusedError, UsageError
from fallow.queue.description import description
from fallow.queue.history import remembered
from fallow.queue.ids import any_of, chunks, job_of
from fallow.queue.literals import equals, quoted
from fallow.queue.records import COMING, PROJECTION, JobRecord, JobState, record, usable
from fallow.queue.session import LOCK, QueueToken, bindings, install_token
from fallow.queue.spec import JobSpec

log = logging.getLogger(__name__)

TokenProvider = Callable[[], QueueToken]
"""Gives a new token for the queue; called whenever the last one comes near its end."""

_RENEW_BEFORE_S = 120.0
_REACH_S = 5.0
_ENDED = "(JobStatus == 3 || JobStatus == 4 || JobStatus == 5)"
_HALF = f"JobStatus == 5 && member(HoldReasonCode, {{{', '.join(map(str, sorted(COMING)))}}})"
_REFUSALS = (
    "SUBMIT_REQUIREMENT",
    "AUTHENTICATE",
    "permission denied",
    "not authorized",
    "unauthorized",
    "DENIED",
)
_TOO_MANY = "Schedd says -3"
"""What the bindings say to a user who has MAX_JOBS_PER_OWNER. Source: condor_includes/condor_qmgr.h of HTCondor."""

CLUSTER_JOBS = 1000
"""Jobs that are one cluster at most: the time that HTCondor's bindings take for one grows with the square of its jobs."""


class FederationInfo(Protocol):
    """What a client must know of a federation to reach its queue; `fallow.messages.Federation` has it."""

    @property
    def trust_domain(self) -> str:
        """The domain that issued the tokens of the queue."""

    @property
    def collector(self) -> str:
        """Address of the pool's collector, `host:port`."""

    @property
    def schedd(self) -> str:
        """Name of the schedd."""


def different(specs: Sequence[JobSpec]) -> None:
    """Refuse a batch that has two jobs of the same run and key.

    Raises:
        UsageError: It has.
    """
    if len({(spec.run, spec.key) for spec in specs}) != len(specs):
        raise UsageError(
            "Two jobs of one batch have the same run and key.", remedy="Give every job a key of its own."
        )


class Queue:
    """One user's view of a federation's queue. Safe to use from several threads.

    Args:
        federation: Where the queue is.
        new_token: Gives a token whenever the present one is about to end.
        clock: Unix time; tests give their own.
    """

    silent: tuple[str, ...] = ()
    """Where there are two queues: those that did not answer, see `Queues`."""

    def __init__(
        self, federation: FederationInfo, new_token: TokenProvider, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._federation = federation
        self._new_token = new_token
        self._clock = clock
        self._token: QueueToken | None = None
        self._schedd: Any = None
        self._known: dict[str, dict[str, str]] = {}
        self._half: dict[str, set[str]] = {}

    @property
    def name(self) -> str:
        """What the queue is called in its pool."""
        return self._federation.schedd

    def reach(self) -> None:
        """See whether the pool takes connections: the bindings wait a minute for a machine that is gone.

        Raises:
            NotAvailableError: It takes none.
        """
        host, _, port = self._federation.collector.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        except OSError as error:
            raise NotAvailableError(f"{self.name} cannot be reached: {error}.", retryable=True) from error

    def keys(self, run: str) -> dict[str, str]:
        """The ids of the jobs of `run` that wait, run or have finished, by key; asked for once."""
        with LOCK:
            return dict(self._keys(run))

    def submit(self, specs: Sequence[JobSpec]) -> list[str]:
        """Submit a batch, all of it or nothing, and send its input files.

        A key that this run has in the queue already is not submitted again: its id is returned. This covers a
        repeated call, also by a later client after a crash. It covers neither two clients that submit one run
        at the same moment nor jobs that have left the queue.

        Returns:
            The job ids, in the order of `specs`.

        Raises:
            UsageError: A specification cannot be expressed, or two of them have the same run and key.
            RefusedError: The hub refused the jobs; none was queued.
            FullError: The hub takes fewer jobs of one user than there would be; none was queued.
            NotAvailableError: The hub is out of reach, or the files were not sent; none of them will run.
        """
        different(specs)
        with LOCK:
            new = [spec for spec in specs if spec.key not in self._keys(spec.run)]
            if new:
                self._remove_half_submitted(new)
                for spec, job in zip(new, self._submit_new(new)):
                    self._known[spec.run][spec.key] = job
            return [self._known[spec.run][spec.key] for spec in specs]

    def status(self, run: str, *, ended: bool = False) -> dict[str, JobRecord]:
        """The jobs of `run` that are in the queue, by key, in one query.

        Absent from the answer is not finished: see `history`.

        Args:
            run: The run's id.
            ended: Only those that neither wait nor run: however many jobs there are, the answer is as short as the news.
        """
        constraint = equals("FallowRun", run)
        if ended:
            constraint += f" && {_ENDED}"
        ads = self._call("query the queue", "query", constraint, PROJECTION)
        return {found.key: found for found in map(record, ads)}

    def jobs(self, run: str | None = None) -> list[JobRecord]:
        """This user's jobs in the queue, or those of one run, oldest first."""
        constraint = equals("FallowRun", run) if run else "FallowRun =!= undefined"
        mine = bindings().QueryOpt.DefaultMyJobsOnly
        ads = self._call("query the queue", "query", constraint, PROJECTION, opts=mine)
        return sorted(map(record, ads), key=lambda job: [int(part) for part in job.id.split(".")])

    def ads(self, ids: Sequence[str]) -> dict[str, Any]:
        """The whole ClassAds of these jobs, by id; absent are those that are not in the queue."""
        found = [ad for chunk in chunks(ids) for ad in self._call("query the queue", "query", any_of(chunk))]
        return {job_of(ad): ad for ad in found}

    def history(self, ids: Sequence[str]) -> dict[str, JobRecord]:
        """What became of this user's jobs that have left the queue, by key; absent are those that nobody remembers."""

        def ask(some: str, most: int) -> list[Any]:
            mine = f"{equals('Owner', self._owner())} && ({some})"
            return list(self._call("read the history", "history", mine, PROJECTION, match=most))

        return {job.key: job for job in map(record, remembered(ids, ask).values())}

    def remove(
        self, *, run: str | None = None, ids: Sequence[str] = (), reason: str = "Removed by owner"
    ) -> int:
        """Remove all jobs of `run`, or those with `ids`; returns how many were removed."""
        constraints = [any_of(chunk) for chunk in chunks(ids)]
        if run is not None:
            constraints.append(equals("FallowRun", run))
        removed = sum(self._remove(constraint, reason) for constraint in constraints)
        with LOCK:
            gone = set(ids)
            for known, keys in self._known.items():
                kept = {key: job for key, job in keys.items() if job not in gone}
                self._known[known] = {} if known == run else kept
        return removed

    def take(self, ids: Sequence[str]) -> None:
        """Say that the results of these finished jobs have been taken: the queue may forget them."""
        for chunk in chunks(ids):
            constraint = f"JobStatus == 4 && ({any_of(chunk)})"
            self._call("release finished jobs", "edit", constraint, "FallowTaken", "true")

    def prioritise(self, ids: Sequence[str], priority: int) -> None:
        """Say which of this user's waiting jobs go first: those with the greater priority."""
        for chunk in chunks(ids):
            self._call("set the jobs' priority", "edit", any_of(chunk), "JobPrio", str(int(priority)))

    def fetch(self, job: str, *, into: Path) -> None:
        """Fetch `stdout` and `stderr` of a finished job into the directory `into`.

        Raises:
            NotAvailableError: The files are not there (the job never ran) or could not be sent.
        """
        place = quoted(str(into), what="The directory for a job's output")
        self._call("fetch the job's output", "edit", any_of([job]), "SUBMIT_Iwd", place)
        self._call("fetch the job's output", "retrieve", any_of([job]))

    def _submit_new(self, specs: Sequence[JobSpec]) -> list[str]:
        shared, rows = description(specs)
        files = any(spec.input_files for spec in specs)
        if not files:  # a job that is let go is looked at at once, one that is new is not
            shared["hold"] = "true"
        results: list[Any] = []
        try:
            for start in range(0, len(rows), CLUSTER_JOBS):
                some = iter(rows[start : start + CLUSTER_JOBS])
                submit = bindings().Submit(shared)
                results.append(self._call("submit jobs", "submit", submit, spool=files, itemdata=some))
            if files:  # for which the schedd sleeps a second, in the end
                for result in results:
                    self._call("send the jobs' files", "spool", result)
            else:
                self._call("let the jobs go", "act", bindings().JobAction.Release, _all_of(results))
        except BaseException:
            if results:
                self._give_up(_all_of(results))
            raise
        log.info("submitted %d jobs as %s", len(specs), _all_of(results))
        return [
            f"{result.cluster()}.{result.first_proc() + number}"
            for result in results
            for number in range(result.num_procs())
        ]

    def _give_up(self, constraint: str) -> None:
        """Remove jobs whose files never arrived; if that fails, the next client of the run removes them."""
        try:
            self._remove(constraint, "Its files were not sent")
        except FallowError as error:
            log.warning("jobs that could not be completed remain held in the queue: %s", error)

    def _remove(self, constraint: str, reason: str) -> int:
        answer = self._call("remove jobs", "act", bindings().JobAction.Remove, constraint, (reason, 0))
        return int(answer["TotalSuccess"]) if answer is not None else 0

    def _keys(self, run: str) -> dict[str, str]:
        """Keys of `run` in the queue; asked for once."""
        if run not in self._known:
            there = self.status(run)
            self._known[run] = usable(there)
            self._half[run] = {key for key, job in there.items() if job.state is JobState.STAGING}
        return self._known[run]

    def _remove_half_submitted(self, specs: Sequence[JobSpec]) -> None:
        """Remove jobs of these keys whose files an earlier client never sent.

        Jobs of other keys stay: another client of the run may be about to send their files.
        """
        for run in {spec.run for spec in specs}:
            wanted = {spec.key for spec in specs if spec.run == run} & self._half[run]
            if wanted:
                there = self.status(run, ended=True)
                ids = [
                    job.id for key, job in there.items() if key in wanted and job.state is JobState.STAGING
                ]
                if ids:
                    self._give_up(f"{_HALF} && ({any_of(ids)})")
                self._half[run] -= wanted

    def _call(self, what: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """One exchange with the schedd, located anew after a failure; the bindings' errors become ours."""
        with LOCK:
            htcondor = bindings()
            try:
                self._renewed()
                if self._schedd is None:
                    collector = htcondor.Collector(self._federation.collector)
                    place = collector.locate(htcondor.DaemonType.Schedd, self._federation.schedd)
                    self._schedd = htcondor.Schedd(place)
                return getattr(self._schedd, method)(*args, **kwargs)
            except (htcondor.HTCondorException, OSError) as error:
                self._schedd = None
                message = " ".join(str(error).split())
                if any(word in message for word in _REFUSALS):
                    self._token = None  # the next call asks for a new one
                    raise RefusedError(
                        f"Could not {what}: {message}", remedy="Check your token with: fallow whoami"
                    ) from error
                if _TOO_MANY in message:
                    raise FullError(
                        f"Could not {what}: {self.name} has as many of your jobs as its max_jobs_per_user allows.",
                        remedy="Submit the rest when some have ended; workflows and campaigns do so by themselves.",
                    ) from error
                raise NotAvailableError(f"Could not {what}: {message}", retryable=True) from error

    def _owner(self) -> str:
        with LOCK:
            return self._renewed().owner

    def _renewed(self) -> QueueToken:
        if self._token is None or self._token.expires - self._clock() < _RENEW_BEFORE_S:
            self._token = self._new_token()
            install_token(self._federation.trust_domain, self._token.value)
        return self._token


def _all_of(results: Sequence[Any]) -> str:
    """The constraint of all jobs that were submitted so."""
    return " || ".join(f"ClusterId == {result.cluster()}" for result in results)
