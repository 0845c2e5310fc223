"""Takes capacity back: cancels queued pilots and asks running ones to leave, more firmly as their time runs out.

Orders are written down first. Whoever looks next acts on them, the command that took them or the launcher: a
withdrawal goes on when the terminal is closed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Callable

from fallow.errors import FallowError, NotAvailableError
from fallow_pilots.accounts.people import People
from fallow_pilots.batch.model import BatchError, BatchSystem, Stop
from fallow_pilots.layout import Layout
from fallow_pilots.order import Order, Wish, write_order
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store
from fallow_pilots.watch import View, Watch, utc_now

log = logging.getLogger(__name__)

POLL_S = 1.0
REPEAT_S = 15.0
"""A signal may be lost while a pilot starts, so it is sent again."""


class StillHeldError(FallowError):
    """The batch system has not confirmed in time that the capacity is free."""

    exit_code = 5


@dataclass(frozen=True)
class Progress:
    """How far a withdrawal is."""

    queued: int
    running: int
    elapsed_s: float


def eviction_s(drain_grace_s: int) -> float:
    """How long a pilot may take to give its work back: removed sooner, its jobs would wait for their lease."""
    return min(60, drain_grace_s // 2) + 20.0


def firmness(now: datetime, leave_by: datetime | None, evict_s: float) -> Stop:
    """How to ask a running pilot that is to be gone at `leave_by`; None: it may finish what it runs."""
    if leave_by is None:
        return Stop.DRAIN
    if now >= leave_by:
        return Stop.KILL
    return Stop.EVICT if (leave_by - now).total_seconds() <= evict_s else Stop.DRAIN


class Stopper:
    """Stops pilots of one centre.

    Args:
        watch: Sees the centre.
        batch: The batch system.
        store: The launcher's memory.
        layout: Where pilots find their orders.
        evict_s: Time that a pilot is given to give its work back before it is removed.
        clock: The launcher's clock.
        people: Those under whose accounts pilots run as well.
    """

    def __init__(
        self,
        watch: Watch,
        batch: BatchSystem,
        store: Store,
        layout: Layout,
        evict_s: float,
        clock: Callable[[], datetime] = utc_now,
        people: People | None = None,
    ) -> None:
        self._watch = watch
        self._batch = batch
        self._store = store
        self._layout = layout
        self._evict_s = evict_s
        self._clock = clock
        self._people = people
        self._asked: dict[str, tuple[Stop, float]] = {}

    def press(self, records: Iterable[PilotRecord]) -> None:
        """Cancel the queued and ask the running among those that have an order.

        A pilot that was asked as firmly in the last `REPEAT_S` is left in peace. What the batch system refuses is tried
        again at the next call.
        """
        due: dict[tuple[Stop, str | None], list[PilotRecord]] = {}
        for record in records:
            if record.asked_to_stop is None or record.state not in {State.QUEUED, State.RUNNING}:
                continue
            how = Stop.KILL
            if record.state is State.RUNNING:
                how = firmness(self._clock(), record.leave_by, self._evict_s)
            if self._due(record.pilot, how):
                due.setdefault((how, record.account), []).append(record)
        for (how, account), group in due.items():
            try:
                self._stop(account, group, how)
            except BatchError as error:
                log.warning("%s Trying again.", error)
            else:
                self._asked.update({record.pilot: (how, time.monotonic()) for record in group})

    def _due(self, pilot: str, how: Stop) -> bool:
        last, moment = self._asked.get(pilot, (None, 0.0))
        return last is not how or time.monotonic() - moment >= REPEAT_S

    def _stop(self, account: str | None, records: Collection[PilotRecord], how: Stop) -> None:
        """Leave orders, and signal, under the account that the pilots run under."""
        orders = {
            record.pilot: Order(wish=record.wish or Wish.DRAIN, leave_by=record.leave_by)
            for record in records
        }
        if account is not None and self._people is not None:
            self._people.stop(account, orders, how)
            return
        for pilot, order in orders.items():
            try:
                write_order(self._layout.outcome(pilot), order)
            except OSError as error:  # the signal alone stops it as well
                log.warning("pilot %s is not told why it is stopped: %s", pilot, error)
        self._batch.stop([record.native_id for record in records if record.native_id], how)

    def ask(self, chosen: Collection[str] | None, wish: Wish, leave_by: datetime | None) -> list[PilotRecord]:
        """Order `chosen` (None: all) to leave and return those still active.

        Raises:
            NotAvailableError: The batch system does not answer: nothing is known and nothing was done.
        """
        return self._ordered(self._seen(), chosen, wish, leave_by)

    def _seen(self) -> View:
        view = self._watch.pilots()
        if view.trouble is not None:
            raise NotAvailableError(f"The batch system does not answer: {view.trouble}", retryable=True)
        return view

    def _ordered(
        self, view: View, chosen: Collection[str] | None, wish: Wish, leave_by: datetime | None
    ) -> list[PilotRecord]:
        active = [
            record for record in view.records if record.active and (chosen is None or record.pilot in chosen)
        ]
        ordered = self._store.order([record.pilot for record in active], wish, self._clock(), leave_by)
        self.press(ordered)
        return ordered

    def drain(self, chosen: Collection[str] | None, leave_by: datetime | None) -> list[PilotRecord]:
        """Cancel the queued and ask the running to finish, without waiting for them; returns those asked.

        A pilot that is just being submitted is waited for, so that none slips through; one of an account that does not
        answer has its order, on which the launcher acts if it turns up.
        """
        while True:
            view = self._seen()
            left = self._ordered(view, chosen, Wish.DRAIN, leave_by)
            silent = view.people.silent
            if not any(record.state is State.INTENT and record.account not in silent for record in left):
                return left
            time.sleep(POLL_S)

    def until_gone(
        self,
        chosen: Collection[str] | None,
        deadline_s: float,
        patience_s: float,
        tell: Callable[[Progress], None],
    ) -> float:
        """Drain, then evict, then remove, until the batch system confirms that none of `chosen` is left.

        Args:
            chosen: Pilots to take back; None for all.
            deadline_s: Seconds after which a pilot is removed whatever it does.
            patience_s: Seconds that the batch system may take after that to confirm it.
            tell: Called after every look.

        Returns:
            Seconds that it took.

        Raises:
            StillHeldError: It has not confirmed it; the orders stay in force.
        """
        begun, leave_by = time.monotonic(), self._clock() + timedelta(seconds=deadline_s)
        last = "The batch system has not answered."
        while True:
            try:
                left = self.ask(chosen, Wish.WITHDRAW, leave_by)
            except NotAvailableError as error:
                last = str(error)
                log.warning("%s Trying again.", error)
            else:
                running = sum(record.state is State.RUNNING for record in left)
                tell(Progress(len(left) - running, running, time.monotonic() - begun))
                if not left:
                    return time.monotonic() - begun
                last = f"Not gone yet: {', '.join(map(_named, left[:5]))}."
            elapsed_s = time.monotonic() - begun
            if elapsed_s >= deadline_s + patience_s:
                raise StillHeldError(
                    f"The capacity is not free after {elapsed_s:.0f} s. {last}",
                    remedy="The launcher goes on removing them; ask the batch system about these jobs.",
                )
            time.sleep(POLL_S)


def _named(record: PilotRecord) -> str:
    where = f" on {record.node}" if record.node else ""
    return f"{record.pilot} (job {record.native_id or 'unknown'}, {record.state.value}{where})"
