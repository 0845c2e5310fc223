"""One cycle of the launcher: look, bring the memory up to date, decide, start pilots, publish the offer."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Callable

from fallow.errors import FallowError
from fallow.messages import Federation
from fallow.offers import Offer
from fallow_pilots.accounts.people import People, Seen
from fallow_pilots.batch.model import BatchError, BatchJob, BatchSystem
from fallow_pilots.caps import Lot
from fallow_pilots.credentials import Credentials, Joining
from fallow_pilots.decision import Decision, decide
from fallow_pilots.halt import allowed_since, read_halt
from fallow_pilots.layout import Layout
from fallow_pilots.nodefindings import NodeCheck, node_file, read_node_check
from fallow_pilots.offer import offer_of
from fallow_pilots.order import Wish
from fallow_pilots.policy import Policy
from fallow_pilots.prepare import job_of_lot, pilot_spec, submit
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.stopping import Stopper, eviction_s
from fallow_pilots.store import Store
from fallow_pilots.watch import KEPT, Reported, View, Watch, utc_now

log = logging.getLogger(__name__)

CYCLE = "cycle"
CHECKS_READ = 20
"""Pilots whose node checks are read for an offer."""
HOLE = timedelta(seconds=120)
"""How long a pilot for a hole may wait for the batch system to start it."""


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
        reported: Asks the hub how a pilot ended that left no file.
        clock: The launcher's clock.
        prefetch: Is told in each cycle in which the centre gives something; must not wait.
        relay: Sees to it that nodes have a way to the hub; why they have none, else None.
        people: Those under whose accounts pilots run as well.
    """

    def __init__(
        self,
        policy: Policy,
        batch: BatchSystem,
        store: Store,
        credentials: Credentials,
        publish: Callable[[Offer], None],
        reported: Reported,
        clock: Callable[[], datetime] = utc_now,
        prefetch: Callable[[Policy, Offer], None] = lambda *_: None,
        relay: Callable[[Federation], str | None] = lambda _: None,
        people: People | None = None,
    ) -> None:
        self.policy = policy
        self._batch = batch
        self._store = store
        self.watch = Watch(policy, batch, store, reported, clock, people)
        self._credentials = credentials
        self._publish = publish
        self._clock = clock
        self._prefetch = prefetch
        self._relay = relay
        self._relay_trouble: str | None = None
        self._people = people
        self._layout = Layout(policy)
        self.stopper = Stopper(
            self.watch, batch, store, self._layout, eviction_s(policy.pilot.drain_grace_s), clock, people
        )
        self._said = ""

    def look(self) -> View:
        """What is."""
        return self.watch.look()

    def decide(self, view: View, joining: Joining) -> Decision:
        """What to do now, without doing it."""
        now = self._clock()
        halt = read_halt(self._store)
        return decide(
            self.policy,
            view.spare,
            view.records,
            now,
            halted=halt.sentence
            if halt and halt.ceiling is None
            else joining.obstacle(now) or self._relay_trouble or self._all_closed(view),
            ceiling=(halt.ceiling, halt.sentence) if halt and halt.ceiling is not None else None,
            idle_since=self._store.idle_since(),
            resumed=allowed_since(self._store),
        )

    def _open(self, view: View) -> list[str | None]:
        """The accounts that may have one more pilot."""
        return [account for account in self.policy.accounts.names if account not in view.closed]

    def _all_closed(self, view: View) -> str | None:
        """Why no account may have one more pilot, or None if one may."""
        if self._open(view):
            return None
        return " ".join(view.closed[account] for account in self.policy.accounts.names)

    def cycle(self, interval_s: float) -> Report:
        """Look, decide, start pilots and publish the offer; `interval_s` is the time to the next cycle."""
        pilots = self.watch.pilots()
        if not pilots.trouble:
            self._take_back(pilots.records, pilots.people)
        view = self.watch.capacity(pilots)
        if view.trouble:
            log.warning("batch system: %s Nothing is started or stopped on that.", view.trouble)
        joining = self._credentials.refresh(self._clock())
        if joining.federation is not None:
            self._relay_trouble = self._relay(joining.federation)
        view = self._with_tokens(view)
        decision = self.decide(view, joining)
        launched = self._launch(decision, joining, view)
        offer = self.offer(view, decision, interval_s)
        trouble = joining.trouble or self._show(offer)
        if trouble is None:
            self.watch.hear(view.records)
            if read_halt(self._store) is None:
                self._prefetch(self.policy, offer)
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
        self._measure(report, joining)
        self._forget_old()
        said = f"launched {launched}, active {report.active}, limited by {report.clause}: {report.reason}"
        log.log(logging.DEBUG if said == self._said else logging.INFO, "%s", said)
        self._said = said
        return report

    def _measure(self, report: Report, joining: Joining) -> None:
        """Keep the numbers for Prometheus, where the policy wants them."""
        if (path := self.policy.metrics_file("launcher")) is None:
            return
        from fallow_pilots import metrics

        now, centre = self._clock(), self.policy.identity.centre
        records = self._store.records(now - KEPT)
        metrics.put(path, metrics.numbers(centre, now, report, records, joining))

    def _with_tokens(self, view: View) -> View:
        """`view`, in which the accounts of people are closed for whom there is no token.

        Tokens of closed accounts are renewed as well: they may have pilots that run or wait.
        """
        closed = dict(view.closed)
        for account, consent in view.people.consents.items():
            if consent.holds and self._people is not None:
                obstacle = self._people.refresh(account, self._clock())
                if obstacle is not None:
                    closed.setdefault(account, obstacle)
        return replace(view, closed=closed)

    def _take_back(self, records: list[PilotRecord], people: Seen) -> None:
        """Go on with what a person asked for, also after the command that took it has ended."""
        unwanted = set(people.refusals(self.policy)) - set(people.silent)
        theirs = [record.pilot for record in records if record.active and record.account in unwanted]
        if theirs:
            now = self._clock()
            leave_by = now + timedelta(seconds=eviction_s(self.policy.pilot.drain_grace_s))
            self.stopper.press(self._store.order(theirs, Wish.WITHDRAW, now, leave_by))
        halt = read_halt(self._store)
        if halt is not None and halt.ceiling is None:
            active = [record.pilot for record in records if record.active]
            records = self._store.order(active, halt.wish, self._clock(), halt.leave_by)
        self.stopper.press(records)

    def offer(self, view: View, decision: Decision, interval_s: float) -> Offer:
        """The offer that goes with a decision."""
        return offer_of(
            self.policy,
            decision,
            view.records,
            self._clock(),
            interval_s=interval_s,
            halt=read_halt(self._store),
            checks={**self._node_checks(view.records), **view.people.checks},
        )

    def _node_checks(self, records: Sequence[PilotRecord]) -> dict[str, NodeCheck]:
        """What the newest running pilots found on their nodes; a few, since the files lie on a shared file system."""
        ours = [record for record in records if record.account is None and record.state is State.RUNNING]
        running = [record.pilot for record in ours][-CHECKS_READ:]
        read = {pilot: read_node_check(node_file(self._layout.outcome(pilot))) for pilot in running}
        return {pilot: found for pilot, found in read.items() if found is not None}

    def _show(self, offer: Offer) -> str | None:
        try:
            self._publish(offer)
        except FallowError as error:
            log.warning("the offer was not published: %s", error)
            return str(error)
        return None

    def job(self, pilot: str, lot: Lot, closes: datetime | None) -> BatchJob:
        """One pilot as a batch job; one for a hole that is not started at once is not wanted any more."""
        if self.policy.when.only_backfill:
            at_once = self._clock() + timedelta(seconds=lot.walltime_s) + HOLE
            closes = at_once if closes is None else min(closes, at_once)
        return job_of_lot(self.policy, self._layout, pilot, lot, closes)

    def _launch(self, decision: Decision, joining: Joining, view: View) -> int:
        """Start what was decided, each pilot under the account that has fewest; one that fails has no more in this cycle."""
        held = Counter(record.account for record in view.records if record.active)
        able, started = self._open(view), 0
        for lot in [launch.lot for launch in decision.launches for _ in range(launch.count)]:
            if not able:
                break
            account = min(able, key=lambda one: held[one])
            if self._submit(lot, decision.closes, joining, account):
                held[account] += 1
                started += 1
            else:
                able.remove(account)
        return started

    def _submit(self, lot: Lot, closes: datetime | None, joining: Joining, account: str | None) -> bool:
        """Start one pilot; False when none must follow it under this account in this cycle."""
        shape = lot.shape
        planned = PilotRecord(
            "",
            State.INTENT,
            shape.all_cores,
            shape.all_gpus,
            lot.walltime_s,
            self._clock(),
            nodes=shape.nodes,
            account=account,
        )
        record = self._store.intend(planned)
        if record is None or joining.federation is None:
            return False  # withdrawn a moment ago
        job = self.job(record.pilot, lot, closes)
        spec = pilot_spec(self.policy, self._layout, record.pilot, lot, joining.federation)
        try:
            if account is not None and self._people is not None:
                native_id = self._people.start(account, job, spec)
            else:
                native_id = submit(self._batch, job, spec)
        except (BatchError, OSError) as error:
            # it may have been submitted all the same: the next look finds it by its name, or gives it up
            log.error("pilot %s was not submitted: %s", record.pilot, error)  # noqa: TRY400
            self._store.update([replace(record, reason=f"Not submitted: {error}")])
            return False
        self._store.update([replace(record, state=State.QUEUED, native_id=native_id)])
        log.info("pilot %s submitted as %s%s", record.pilot, native_id, f" by {account}" if account else "")
        return True

    def _forget_old(self) -> None:
        for pilot in self._store.forget(self._clock() - KEPT):
            shutil.rmtree(self._layout.spec(pilot).parent, ignore_errors=True)
