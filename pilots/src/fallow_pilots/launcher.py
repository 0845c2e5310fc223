"""One cycle of the launcher: look, bring the memory up to date, decide, start pilots, publish the offer."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable

from pydantic import ValidationError

from fallow.errors import FallowError
from fallow.files import read_private
from fallow.offers import Offer
from fallow_pilots.batch.model import BatchError, BatchJob, BatchSystem, JobStatus, Phase, Spare
from fallow_pilots.conditions import conditions_of
from fallow_pilots.credentials import Credentials, Joining
from fallow_pilots.decision import Decision, decide
from fallow_pilots.halt import read_halt
from fallow_pilots.layout import Layout
from fallow_pilots.offer import offer_of
from fallow_pilots.outcome import Outcome
from fallow_pilots.policy import Policy
from fallow_pilots.reconcile import reconcile
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.spec import PilotSpec
from fallow_pilots.store import Store

log = logging.getLogger(__name__)

CYCLE = "cycle"
KEPT = timedelta(days=14)
"""How long ended pilots are remembered."""
LATE = timedelta(minutes=10)
"""How long after its end a pilot's outcome may still appear on a slow shared file system."""


def utc_now() -> datetime:
    """The launcher's clock."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class View:
    """What one look at the centre shows."""

    records: list[PilotRecord]
    spare: Spare | None
    """None when the batch system gave no trustworthy answer."""
    trouble: str | None
    """Why it did not."""


@dataclass(frozen=True)
class Report:
    """What a cycle did and why; remembered for `fallow pilot status`."""

    at: str
    launched: int
    active: int
    clause: str
    reason: str
    batch_trouble: str | None
    hub_trouble: str | None


class Launcher:
    """Acts for one centre; whoever calls `cycle` holds the launcher's lock.

    Args:
        policy: The centre's policy.
        batch: The centre's batch system.
        store: The launcher's memory.
        credentials: The pilots' token and what the hub says of itself.
        publish: Shows an offer at the hub.
        clock: The launcher's clock.
    """

    def __init__(
        self,
        policy: Policy,
        batch: BatchSystem,
        store: Store,
        credentials: Credentials,
        publish: Callable[[Offer], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.policy = policy
        self._batch = batch
        self._store = store
        self._credentials = credentials
        self._publish = publish
        self._clock = clock
        self._layout = Layout(policy)
        self._said = ""

    def look(self) -> View:
        """What is: the memory, brought up to date with the batch system and the outcomes left."""
        now = self._clock()
        records = self._store.records(now - KEPT)
        awaited = [record.pilot for record in records if record.state is not State.ENDED]
        try:
            jobs = self._batch.status([self._layout.job_name(pilot) for pilot in awaited])
        except BatchError as error:
            return View(records, None, str(error))
        self._take_in(records, jobs, now)
        try:
            spare = self._batch.spare(
                count_waiting=self.policy.when.queue_below is not None,
                partitions=self.policy.when.queue_partitions,
            )
        except BatchError as error:
            return View(self._store.records(now - KEPT), None, str(error))
        self._store.saw_idle([node.name for node in spare.nodes if node.idle], now)
        return View(self._store.records(now - KEPT), spare, None)

    def _take_in(self, records: list[PilotRecord], jobs: Iterable[JobStatus], now: datetime) -> None:
        known = {pilot: job for job in jobs if (pilot := self._layout.pilot_of(job.name)) is not None}
        for pilot in set(known) - {record.pilot for record in records}:
            if known[pilot].phase is not Phase.ENDED:
                log.warning("pilot %s was not remembered; taking it in", pilot)
                shape, walltime_s = self.policy.pilot, self.policy.pilot.walltime_s
                self._store.adopt(PilotRecord(pilot, State.INTENT, shape.cores, shape.gpus, walltime_s, now))
                records = self._store.records(now - KEPT)
        awaited = [record for record in records if record.code is None and _may_report(record, now)]
        outcomes = {
            record.pilot: outcome
            for record in awaited
            if (outcome := read_outcome(self._layout.outcome(record.pilot))) is not None
        }
        changed = reconcile(records, known, outcomes, now)
        self._store.update(changed)
        for record in changed:
            log.info(
                "pilot %s %s code=%s %s", record.pilot, record.state.value, record.code, record.reason or ""
            )

    def decide(self, view: View, joining: Joining) -> Decision:
        """What to do now, without doing it."""
        now = self._clock()
        halt = read_halt(self._store)
        return decide(
            self.policy,
            view.spare,
            view.records,
            now,
            halted=halt.sentence if halt else joining.obstacle(now),
            idle_since=self._store.idle_since(),
        )

    def cycle(self, interval_s: float) -> Report:
        """Look, decide, start pilots and publish the offer; `interval_s` is the time to the next cycle."""
        view = self.look()
        if view.trouble:
            log.warning("batch system: %s Nothing is started or stopped on that.", view.trouble)
        joining = self._credentials.refresh(self._clock())
        decision = self.decide(view, joining)
        launched = self._launch(decision, joining)
        offer = self.offer(view, decision, interval_s)
        trouble = joining.trouble or self._show(offer)
        report = Report(
            at=self._clock().isoformat(timespec="seconds"),
            launched=launched,
            active=sum(record.active for record in view.records) + launched,
            clause=decision.clause,
            reason=decision.reason,
            batch_trouble=view.trouble,
            hub_trouble=trouble,
        )
        self._store.remember(CYCLE, json.dumps(asdict(report)))
        self._forget_old()
        said = f"launched {launched}, active {report.active}, limited by {report.clause}: {report.reason}"
        log.log(logging.DEBUG if said == self._said else logging.INFO, "%s", said)
        self._said = said
        return report

    def offer(self, view: View, decision: Decision, interval_s: float) -> Offer:
        """The offer that goes with a decision."""
        return offer_of(
            self.policy,
            decision,
            view.records,
            self._clock(),
            interval_s=interval_s,
            halt=read_halt(self._store),
        )

    def _show(self, offer: Offer) -> str | None:
        try:
            self._publish(offer)
        except FallowError as error:
            log.warning("the offer was not published: %s", error)
            return str(error)
        return None

    def job(self, pilot: str, decision: Decision) -> BatchJob:
        """One pilot as a batch job."""
        shape = self.policy.pilot
        beside = Path(sys.executable).parent / "fallow-pilot-node"
        return BatchJob(
            name=self._layout.job_name(pilot),
            node_command=self.policy.assume.node_command or beside,
            spec=self._layout.spec(pilot),
            script=self._layout.script(pilot),
            log=self._layout.log(pilot),
            cores=shape.cores,
            memory_mb=shape.memory_mb,
            gpus=shape.gpus,
            walltime_s=decision.walltime_s,
            drain_grace_s=shape.drain_grace_s,
            deadline=decision.closes,
        )

    def _launch(self, decision: Decision, joining: Joining) -> int:
        shape = self.policy.pilot
        for started in range(decision.launch):
            record = self._store.intend(self._clock(), shape.cores, shape.gpus, decision.walltime_s)
            if record is None:
                return started  # withdrawn a moment ago
            job = self.job(record.pilot, decision)
            try:
                self._prepare(record.pilot, job, joining)
                native_id = self._batch.submit(job)
            except (BatchError, OSError) as error:
                # it may have been submitted all the same: the next look finds it by its name, or gives it up
                log.error("pilot %s was not submitted: %s", record.pilot, error)  # noqa: TRY400
                self._store.update([replace(record, reason=f"Not submitted: {error}")])
                return started
            self._store.update([replace(record, state=State.QUEUED, native_id=native_id)])
            log.info("pilot %s submitted as %s", record.pilot, native_id)
        return decision.launch

    def _prepare(self, pilot: str, job: BatchJob, joining: Joining) -> None:
        directory = self._layout.spec(pilot).parent
        directory.mkdir(mode=0o700)
        self.spec(pilot, job, joining).write(job.spec)
        job.script.write_text(self._batch.script(job))
        job.script.chmod(0o700)

    def spec(self, pilot: str, job: BatchJob, joining: Joining) -> PilotSpec:
        """What one pilot is told."""
        federation = joining.federation
        if federation is None:
            raise FallowError("The hub has never been reached, so no pilot can be told where it is.")
        policy = self.policy
        return PilotSpec(
            pilot=pilot,
            centre=policy.identity.centre,
            hub=policy.identity.hub,
            ca_file=policy.identity.ca_file,
            collector=federation.collector,
            trust_domain=federation.trust_domain,
            token_file=self._layout.token,
            outcome_file=self._layout.outcome(pilot),
            cores=job.cores,
            memory_mb=job.memory_mb,
            disk_mb=policy.pilot.disk_mb,
            gpus=job.gpus,
            walltime_s=job.walltime_s,
            idle_exit_s=policy.pilot.idle_exit_s,
            drain_grace_s=policy.pilot.drain_grace_s,
            scratch_dir=policy.assume.scratch_dir,
            image_store_dir=policy.image_store_dir,
            proxy=policy.assume.proxy,
            cvmfs=policy.assume.cvmfs,
            conditions=tuple(clause.requirement for clause in conditions_of(policy)),
        )

    def _forget_old(self) -> None:
        for pilot in self._store.forget(self._clock() - KEPT):
            shutil.rmtree(self._layout.spec(pilot).parent, ignore_errors=True)


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
