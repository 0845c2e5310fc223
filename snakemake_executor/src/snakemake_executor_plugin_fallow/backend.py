"""The run's jobs between Snakemake and the queue: what is to be submitted, what is there, what came of it.

`Backend` knows nothing of Snakemake's executor interface: it is told of jobs, polled, and answers with events.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fallow.errors import FallowError, FullError, UsageError
from fallow.queue import JobRecord, JobSpec, JobState
from snakemake_executor_plugin_fallow.keys import Ended, Identity
from snakemake_executor_plugin_fallow.leftovers import Leftovers
from snakemake_executor_plugin_fallow.notes import Notes
from snakemake_executor_plugin_fallow.outputs import Outputs
from snakemake_executor_plugin_fallow.pace import Pace
from snakemake_executor_plugin_fallow.payload import Access, Payload
from snakemake_executor_plugin_fallow.queuelike import QueueLike
from snakemake_executor_plugin_fallow.spool import SpoolArea
from snakemake_executor_plugin_fallow.summary import JobSummary, append, read, summarise, with_note
from snakemake_executor_plugin_fallow.verdict import (
    Judgement,
    Verdict,
    elsewhere,
    judge,
    passing,
    pause_s,
    reconsider,
)

log = logging.getLogger(__name__)

GIVE_UP_SUBMITTING_S = 900.0
_FEW = 500
"""Up to so many jobs, all are asked for in every poll; of more, only those that have ended, and all now and then."""
_ALL_EVERY_S = 15.0
_PAUSE_S = 1.0
_LONGEST_POLL_PAUSE_S = 3.0
_PAUSE_PER_QUERY = 4.0
"""How much longer than the query of the queue the pause after it is: our share of its time stays below a fifth."""
_ABSENCES = 3


@dataclass
class Entry:
    """One job of the workflow on its way. `job` and `spec`'s key change when it is submitted again."""

    handle: Any
    """What the caller knows the job by."""
    rule: str
    identity: Identity
    spec: JobSpec
    payload: Payload
    since: float
    """When the present submission was first tried, or will be."""
    job: str | None = None
    submitted: float = 0.0
    """When the queue took the present submission."""
    losses: int = 0
    requirements: str | None = field(init=False)
    """What its rule asks of every slot."""
    absences: int = 0
    """In how many polls on end neither the queue nor its history knew the job."""

    def __post_init__(self) -> None:
        self.requirements = self.spec.requirements


@dataclass(frozen=True)
class Event:
    """Something to tell Snakemake about a job that has ended."""

    handle: Any
    done: bool
    reason: str = ""
    job: str | None = None
    logs: tuple[Path, ...] = ()
    final: bool = False
    """Whether another try cannot end otherwise."""


class Backend:
    """All jobs of one run. Every job that was added is in the registry until an event for it was given out.

    Args:
        queue: Where the jobs go.
        run: The run's id.
        access: Gives the storage access for jobs, or None where they bring their own.
        spool: Where input files are kept until the queue has them.
        records: Directory for the run's report and for what failed jobs wrote.
        resubmissions: How often a job that the infrastructure lost is submitted again.
        notes: Where jobs say how they get on, if they do.
        resubmitted: Called with each entry that got another job id.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        queue: QueueLike,
        run: str,
        *,
        access: Callable[[], Access | None],
        spool: SpoolArea,
        records: Path,
        resubmissions: int,
        notes: Notes | None = None,
        resubmitted: Callable[[Entry], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._run = run
        self._access = access
        self._spool = spool
        self._outputs = Outputs(queue, notes, records / run)
        self.report = records / f"{run}.jsonl"
        self._resubmissions = resubmissions
        self._notes = notes
        self._resubmitted = resubmitted
        self._clock = clock
        self._lock = threading.Lock()
        self._submitting = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._over = Ended()
        for key in self.over():
            self._over.add(key)
        self.leftovers = Leftovers(queue, run)
        """What a killed process of this run left in the queue."""
        self._cancelled = False
        self._pace = Pace(clock)
        self._was_full = False
        self._all_at = 0.0
        self._query_s = 0.0

    def key(self, identity: Identity) -> str:
        """The key of a job's next submission, the same as that of a killed process that came as far."""
        return self._over.next_key(identity)

    def over(self) -> list[str]:
        """The keys of all submissions of this run that have been dealt with."""
        return [job.key for job in read(self.report)]

    @property
    def active(self) -> int:
        """How many jobs have not ended."""
        with self._lock:
            return len(self._entries)

    @property
    def pause_s(self) -> float:
        """Seconds between two polls: longer where the queue has much to look through."""
        return min(_LONGEST_POLL_PAUSE_S, max(_PAUSE_S, _PAUSE_PER_QUERY * self._query_s))

    def add(self, entries: Iterable[Entry]) -> None:
        """Register jobs; `submit` sends them."""
        with self._lock:
            self._entries.update((entry.spec.key, entry) for entry in entries)

    def submit(self) -> list[Event]:
        """Send all jobs that wait to be submitted. When the hub is away they stay, for a later call to try.

        Returns:
            An event for each job that can never be submitted.
        """
        with self._submitting:
            with self._lock:
                waiting = [
                    entry
                    for entry in self._entries.values()
                    if entry.job is None and self._clock() >= entry.since
                ]
            events: list[Event] = []
            while waiting and not self._cancelled and self._pace.due():
                batch = waiting[: self._pace.size]
                del waiting[: len(batch)]
                events += self._submit(batch)
            return events

    def poll(self) -> list[Event]:
        """Submit what waits, ask for all jobs in one query, and return what ended."""
        events = self.submit()
        with self._lock:
            asked = {key: entry for key, entry in self._entries.items() if entry.job is not None}
        if not asked or self._cancelled:
            return events
        self._renew()
        there, complete = self._look(asked)
        finished, held = [], []
        for key, entry in asked.items():
            if self._cancelled:
                break
            job, record = str(entry.job), there.get(key)
            if record is None and not complete:
                continue
            entry.absences = 0 if record else entry.absences + 1
            if record is None and entry.absences < _ABSENCES:
                continue
            judgement = judge(record, self._clock() - entry.submitted)
            if judgement.verdict is Verdict.ACTIVE:
                continue
            event = self._ended(entry, record, judgement)
            if event is not None:
                events.append(event)
            if record is not None and record.state is JobState.FINISHED:
                finished.append(job)
            elif record is not None and record.state in (JobState.HELD, JobState.STAGING):
                held.append(job)
        self._let_go(finished, held)
        return events

    def _look(self, asked: Mapping[str, Entry]) -> tuple[dict[str, JobRecord], bool]:
        """What is known of jobs, by key, and whether those that are missing have left the queue unknown to it."""
        begun = self._clock()
        complete = len(asked) <= _FEW or begun >= self._all_at
        there = self._queue.status(self._run, ended=not complete)
        self._query_s = self._clock() - begun
        if complete:
            self._all_at = begun + _ALL_EVERY_S
            gone = [str(entry.job) for key, entry in asked.items() if key not in there]
            if gone:
                there = {**self._queue.history(gone), **there}
        return there, complete

    def cancel(self) -> int:
        """Submit nothing more and remove every job of the run; returns how many were removed."""
        self._cancelled = True
        with self._submitting:  # a submission that is under way ends first, so its jobs are removed too
            return self._queue.remove(run=self._run, reason="The workflow was cancelled")

    def summary(self) -> list[JobSummary]:
        """What became of all submissions of the run, with what the jobs said that they used; their notes are removed."""
        jobs = read(self.report)
        if self._notes is None or not jobs:
            return jobs
        said = self._notes.read_all(job.key for job in jobs if job.outcome == "done")
        self._notes.remove_all()
        return [with_note(job, said.get(job.key)) for job in jobs]

    def _submit(self, batch: Sequence[Entry]) -> list[Event]:
        try:
            self.leftovers.displace([entry.spec.key for entry in batch])
            access = self._access()
            specs = []
            for entry in batch:
                notes = self._notes.url(entry.spec.key) if self._notes else None
                files = self._spool.put(entry.spec.key, entry.payload.document(access, notes))
                specs.append(entry.spec.model_copy(update={"input_files": files, "notes": notes}))
            ids = self._queue.submit(specs)
        except FullError as error:
            return self._cut(batch, error)
        except FallowError as error:
            if passing(error):
                return self._put_off(batch, error)
            parts = _apart(batch, error)
            if len(parts) > 1:  # one bad job must not fail the others
                return [event for part in parts for event in self._submit(part)]
            return [self._fail(entry, str(error)) for entry in batch]
        finally:
            for entry in batch:
                self._spool.clear(entry.spec.key)
        self._pace.taken()
        for entry, job in zip(batch, ids, strict=True):
            entry.job, entry.submitted = job, self._clock()
            if entry.losses and self._resubmitted is not None:
                self._resubmitted(entry)
        return []

    def _renew(self) -> None:
        """Have the credentials of running jobs renewed when it is time; if that fails, the next poll tries again."""
        try:
            self._access()
        except FallowError as error:
            log.warning("the jobs' storage credentials are not renewed yet: %s", error)

    def _cut(self, batch: Sequence[Entry], error: FullError) -> list[Event]:
        """Send what the queue has room for, by halves; the rest waits until jobs have ended, however long that takes."""
        if self._pace.full(len(batch)):
            return self._submit(batch[: self._pace.size])
        log.log(
            logging.INFO if self._was_full else logging.WARNING, "jobs wait here for room: %s", error.what
        )
        self._was_full = True
        return []

    def _put_off(self, batch: Sequence[Entry], error: FallowError) -> list[Event]:
        self._pace.failed()
        log.warning("%d jobs could not be submitted and will be tried again: %s", len(batch), error)
        late = [entry for entry in batch if self._clock() - entry.since > GIVE_UP_SUBMITTING_S]
        return [self._fail(entry, f"It could not be submitted. {error}") for entry in late]

    def _fail(self, entry: Entry, reason: str) -> Event:
        with self._lock:
            self._entries.pop(entry.spec.key, None)
        return Event(entry.handle, done=False, reason=reason, job=entry.job)

    def _ended(self, entry: Entry, record: JobRecord | None, judgement: Judgement) -> Event | None:
        """Deal with a job that has ended in the queue; None where it is submitted again."""
        files: tuple[Path, ...] = ()
        if record is not None and record.state is JobState.FINISHED and not record.succeeded:
            files = self._outputs.fetch(str(entry.job), entry.spec.key)
            judgement = reconsider(judgement, record, _text(files[1]) if files else None)
        if judgement.verdict is Verdict.LOST and not (
            judgement.counted and entry.losses >= self._resubmissions
        ):
            self._note(entry, record, "lost", judgement.reason)
            entry.losses += judgement.counted
            self._again(entry, record, judgement.reason)
            return None
        with self._lock:
            self._entries.pop(entry.spec.key, None)
        done = judgement.verdict is Verdict.DONE
        if not done and not files:
            files = self._outputs.last_words(entry.spec.key)
        reason = judgement.reason
        if judgement.verdict is Verdict.LOST:
            reason = f"the infrastructure lost the job {entry.losses + 1} times, at last because {reason}"
        self._note(entry, record, "done" if done else "failed", reason)
        return Event(entry.handle, done=done, reason=reason, job=entry.job, logs=files, final=judgement.final)

    def _again(self, entry: Entry, record: JobRecord | None, reason: str) -> None:
        lost, old = entry.job, entry.spec.key
        with self._lock:
            self._entries.pop(old, None)
            entry.job = None
            entry.since = self._clock() + pause_s(entry.losses)
            where = elsewhere(entry.requirements, record, time.time())
            entry.spec = entry.spec.model_copy(
                update={"key": self.key(entry.identity), "requirements": where}
            )
            self._entries[entry.spec.key] = entry
        log.warning(
            "job %s (%s) is submitted again, %d of %d: %s",
            lost,
            entry.spec.name,
            entry.losses,
            self._resubmissions,
            reason,
        )

    def _note(self, entry: Entry, record: JobRecord | None, outcome: str, reason: str) -> None:
        summary = summarise(entry.rule, entry.spec, str(entry.job), outcome, reason, record)
        self._over.add(entry.spec.key)
        append(self.report, summary)

    def _let_go(self, finished: Sequence[str], held: Sequence[str]) -> None:
        """Tell the queue which jobs we are done with; if that fails they only stay longer."""
        try:
            self._queue.take(finished)
            self._queue.remove(ids=held, reason="Dealt with by the workflow")
        except FallowError as error:
            log.info("ended jobs could not be released: %s", error)


def _apart(batch: Sequence[Entry], error: FallowError) -> list[Sequence[Entry]]:
    """The parts of a refused batch that are worth another try; the batch itself where none is.

    The hub says the same to all jobs that ask for the same. What cannot be expressed may be a single job's name, and is
    found out here, without the hub.
    """
    alike: dict[str, list[Entry]] = {}
    for entry in batch:
        asked = entry.spec.model_dump_json(exclude={"key", "name", "notes", "input_files"})
        alike.setdefault(asked, []).append(entry)
    if len(alike) > 1:
        return list(alike.values())
    if isinstance(error, UsageError) and len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    return [batch]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
