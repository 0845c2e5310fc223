"""Looks at the centre: brings the launcher's memory up to date with the batch system and with what pilots report."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Callable

from pydantic import ValidationError

from fallow.errors import FallowError
from fallow.files import read_private
from fallow.reports import PilotReport
from fallow_pilots.accounts.people import People, Seen
from fallow_pilots.batch.model import BatchError, BatchSystem, Hole, JobStatus, Phase, Spare
from fallow_pilots.layout import Layout
from fallow_pilots.outcome import Outcome, outcome_of
from fallow_pilots.policy import Policy
from fallow_pilots.reconcile import reconcile, with_outcome
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store

log = logging.getLogger(__name__)

KEPT = timedelta(days=14)
"""How long ended pilots are remembered."""
LATE = timedelta(minutes=10)
"""How long after its end a pilot's outcome may still appear, on a slow shared file system or at the hub."""
ASKED_AT_ONCE = 20
"""Pilots that the hub is asked for in one look."""

Reported = Callable[[str], "PilotReport | None"]
"""What the hub was last told by a pilot."""


def utc_now() -> datetime:
    """The launcher's clock."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class View:
    """What one look at the centre shows."""

    records: list[PilotRecord]
    spare: Spare | None
    """None when the batch system gave no trustworthy answer, or was not asked."""
    trouble: str | None
    """Why it gave none."""
    closed: Mapping[str | None, str] = field(default_factory=dict)
    """Why accounts take no further pilot, whatever is free; None is the launcher's own."""
    people: Seen = field(default_factory=Seen)
    """What people's deputies said."""


class Watch:
    """Sees one centre; several processes may look at the same time.

    Args:
        policy: The centre's policy.
        batch: The centre's batch system.
        store: The launcher's memory.
        reported: Asks the hub for the outcome of a pilot that left no file.
        clock: The launcher's clock.
        people: Those under whose accounts pilots run as well.
    """

    def __init__(
        self,
        policy: Policy,
        batch: BatchSystem,
        store: Store,
        reported: Reported,
        clock: Callable[[], datetime] = utc_now,
        people: People | None = None,
    ) -> None:
        self._policy = policy
        self._batch = batch
        self._store = store
        self._reported = reported
        self._clock = clock
        self._people = people
        self._layout = Layout(policy)

    def pilots(self) -> View:
        """The pilots as they are now, as far as the centre itself knows."""
        now = self._clock()
        records = self._store.records(now - KEPT)
        own = [record for record in records if record.account is None]
        awaited = [record.pilot for record in own if record.state is not State.ENDED]
        try:
            jobs = self._batch.status([self._layout.job_name(pilot) for pilot in awaited])
        except BatchError as error:
            return View(records, None, str(error))
        known = self._ours(records, jobs)
        records = self._adopt(records, known, now)
        people = self._look_at_people(records, now)
        known.update(people.jobs)
        told = [
            record for record in records if record.account not in people.silent or _must_be_over(record, now)
        ]
        changed = reconcile(told, known, {**self._left(records, now), **people.outcomes}, now)
        self._store.update(changed)
        for record in changed:
            log.info(
                "pilot %s %s code=%s %s", record.pilot, record.state.value, record.code, record.reason or ""
            )
        records = self._store.records(now - KEPT)
        closed: dict[str | None, str] = {
            **self._refused(records, now),
            **_barred(records, known),
            **people.refusals(self._policy),
        }
        return View(records, None, None, closed, people)

    def _look_at_people(self, records: Sequence[PilotRecord], now: datetime) -> Seen:
        if self._people is None:
            return Seen()
        awaited = [record.pilot for record in records if record.code is None and _may_report(record, now)]
        return self._people.look(records, awaited)

    def _refused(self, records: Iterable[PilotRecord], now: datetime) -> dict[str | None, str]:
        """What was said when a person's last pilot was not taken, for as long as the launcher backs off."""
        last = {record.account: record for record in records if record.account is not None}
        since = now - timedelta(seconds=self._policy.backoff.wait_s)
        return {
            account: f"{record.pilot}: {record.reason}"
            for account, record in last.items()
            if record.native_id is None and record.reason is not None and record.submitted > since
        }

    def _ours(self, records: Iterable[PilotRecord], jobs: Iterable[JobStatus]) -> dict[str, JobStatus]:
        """The job of each pilot; one of the same name and another id is left from a state that was deleted."""
        ids = {record.pilot: record.native_id for record in records}
        theirs = {record.pilot for record in records if record.account is not None}
        known: dict[str, JobStatus] = {}
        for job in sorted(jobs, key=lambda job: job.phase is not Phase.ENDED):
            pilot = self._layout.pilot_of(job.name)
            if pilot is not None and pilot not in theirs and ids.get(pilot) in {None, job.native_id}:
                known[pilot] = job
        return known

    def look(self) -> View:
        """The pilots as they are now, and what local work leaves free."""
        return self.capacity(self.pilots())

    def capacity(self, view: View) -> View:
        """`view`, which has just been taken, with what local work leaves free."""
        if view.trouble:
            return view
        try:
            spare = self._spare()
        except BatchError as error:
            return replace(view, trouble=str(error))
        self._store.saw_idle([node.name for node in spare.nodes if node.idle], self._clock())
        return replace(view, spare=spare)

    def _spare(self) -> Spare:
        asked = partial(
            self._batch.spare,
            count_waiting=self._policy.when.queue_below is not None,
            partitions=self._policy.when.queue_partitions,
        )
        if not self._policy.when.only_backfill:
            return asked()
        longest_s, shortest_s = self._policy.pilot.walltime_s, self._policy.pilot.min_walltime_s
        spare = replace(asked(hole=self._hole(longest_s)), startable_s=longest_s)
        if spare.startable == 0:
            spare = replace(asked(hole=self._hole(shortest_s)), startable_s=shortest_s)
        return spare

    def _hole(self, walltime_s: int) -> Hole:
        """The question how many pilots would start at once."""
        shape = self._policy.pilot
        return Hole(
            nodes=shape.nodes,
            cores=shape.cores,
            memory_mb=shape.memory_mb,
            gpus=shape.gpus,
            walltime_s=walltime_s,
            most=self._policy.limits.max_pilots,
            gpu_model=shape.gpu_model,
        )

    def _adopt(
        self, records: list[PilotRecord], known: dict[str, JobStatus], now: datetime
    ) -> list[PilotRecord]:
        strangers = set(known) - {record.pilot for record in records}
        for pilot in strangers:
            if known[pilot].phase is not Phase.ENDED:
                log.warning("pilot %s was not remembered; taking it in", pilot)
                self._store.adopt(self._stranger(pilot, now))
        return self._store.records(now - KEPT) if strangers else records

    def _stranger(self, pilot: str, now: datetime) -> PilotRecord:
        shape = self._policy.pilot
        return PilotRecord(
            pilot, State.INTENT, shape.all_cores, shape.all_gpus, shape.walltime_s, now, nodes=shape.nodes
        )

    def _left(self, records: Iterable[PilotRecord], now: datetime) -> dict[str, Outcome]:
        awaited = [
            record
            for record in records
            if record.account is None and record.code is None and _may_report(record, now)
        ]
        return {
            record.pilot: outcome
            for record in awaited
            if (outcome := read_outcome(self._layout.outcome(record.pilot))) is not None
        }

    def hear(self, records: Iterable[PilotRecord]) -> None:
        """Ask the hub for the outcomes of pilots among `records` that are gone and left none here.

        The batch system and the pilot's own file say more, and first: what the hub says ends nothing that is here.
        """
        now = self._clock()
        missing = [
            record
            for record in records
            if record.code is None
            and _may_report(record, now)
            and record.state is not State.INTENT
            and (not record.active or record.absent_since is not None)
        ]
        for record in missing[:ASKED_AT_ONCE]:
            try:
                report = self._reported(record.pilot)
            except FallowError as error:
                log.debug("the hub does not say how %s ended: %s", record.pilot, error)
                return
            outcome = None if report is None else outcome_of(report)
            if outcome is not None:
                log.info("pilot %s left code=%s at the hub: %s", record.pilot, outcome.code, outcome.reason)
                self._store.update([with_outcome(record, outcome)])


def _barred(records: Iterable[PilotRecord], known: Mapping[str, JobStatus]) -> dict[str | None, str]:
    """The accounts of which a pilot waits for what the account may use, not for nodes: none follows such a canary."""
    accounts = {record.pilot: record.account for record in records}
    return {
        accounts.get(pilot): (
            f"Pilot {pilot} waits for a limit of its account ({job.barred}), not for nodes: ask for more, or name "
            "another batch.account or batch.qos."
        )
        for pilot, job in sorted(known.items(), reverse=True)
        if job.barred
    }


def _must_be_over(record: PilotRecord, now: datetime) -> bool:
    """Whether it cannot run any more, whatever is known of it."""
    return record.started is not None and record.started + timedelta(seconds=record.walltime_s) + LATE < now


def _may_report(record: PilotRecord, now: datetime) -> bool:
    return record.state is not State.ENDED or record.ended is None or now - record.ended < LATE


def read_outcome(path: Path) -> Outcome | None:
    """What a pilot left, or None; a file that makes no sense counts as none."""
    try:
        text = read_private(path)
        return None if text is None else Outcome.model_validate_json(text)
    except (FallowError, ValidationError) as error:
        log.warning("outcome %s cannot be used: %s", path, type(error).__name__)
        return None
