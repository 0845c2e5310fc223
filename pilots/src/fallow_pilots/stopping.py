"""Takes capacity back: cancels queued pilots and asks running ones to leave, until they are gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Callable

from fallow.errors import NotAvailableError
from fallow_pilots.batch.model import BatchSystem, Stop
from fallow_pilots.launcher import View, utc_now
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store

log = logging.getLogger(__name__)

POLL_S = 1.0
REPEAT_S = 15.0
"""A signal may be lost while a pilot starts, so it is sent again."""


@dataclass(frozen=True)
class Progress:
    """How far a withdrawal is."""

    queued: int
    running: int
    elapsed_s: float


def eviction_s(drain_grace_s: int) -> float:
    """How long a pilot may take to give its work back: removed sooner, its jobs would wait for their lease."""
    return min(60, drain_grace_s // 2) + 20.0


def firmness(elapsed_s: float, deadline_s: float, evict_s: float) -> Stop:
    """How to ask a running pilot that is still there after `elapsed_s` of a withdrawal."""
    if elapsed_s >= deadline_s:
        return Stop.KILL
    return Stop.EVICT if elapsed_s >= deadline_s - evict_s else Stop.DRAIN


class Stopper:
    """Stops pilots of one centre.

    Args:
        look: Brings the memory up to date; see `Launcher.look`.
        batch: The batch system.
        store: The launcher's memory.
        evict_s: Time that a pilot is given to give its work back before it is removed.
    """

    def __init__(self, look: Callable[[], View], batch: BatchSystem, store: Store, evict_s: float) -> None:
        self._look = look
        self._batch = batch
        self._store = store
        self._evict_s = evict_s
        self._asked: dict[str, tuple[Stop, float]] = {}

    def ask(self, chosen: Collection[str] | None, how: Stop) -> list[PilotRecord]:
        """Cancel the queued and ask the running among `chosen` (None: all); returns those still active.

        A pilot that was asked as firmly in the last `REPEAT_S` is left in peace.

        Raises:
            NotAvailableError: The batch system does not answer: nothing is known and nothing was done.
        """
        view = self._look()
        if view.trouble is not None:
            raise NotAvailableError(f"The batch system does not answer: {view.trouble}", retryable=True)
        active = [
            record for record in view.records if record.active and (chosen is None or record.pilot in chosen)
        ]
        unasked = [record for record in active if record.asked_to_stop is None]
        self._store.update([replace(record, asked_to_stop=utc_now()) for record in unasked])
        for state, manner in ((State.QUEUED, Stop.KILL), (State.RUNNING, how)):
            due = [record for record in active if record.state is state and self._due(record.pilot, manner)]
            self._batch.stop([record.native_id for record in due if record.native_id], manner)
            self._asked.update({record.pilot: (manner, time.monotonic()) for record in due})
        return active

    def drain(self, chosen: Collection[str] | None) -> list[PilotRecord]:
        """Cancel the queued and ask the running to finish, without waiting for them; returns those asked.

        A pilot that is just being submitted is waited for, so that none slips through.
        """
        left = self.ask(chosen, Stop.DRAIN)
        while any(record.state is State.INTENT for record in left):
            time.sleep(POLL_S)
            left = self.ask(chosen, Stop.DRAIN)
        return left

    def _due(self, pilot: str, how: Stop) -> bool:
        last, moment = self._asked.get(pilot, (None, 0.0))
        return last is not how or time.monotonic() - moment >= REPEAT_S

    def until_gone(
        self, chosen: Collection[str] | None, deadline_s: float, tell: Callable[[Progress], None]
    ) -> float:
        """Drain, then evict, then remove, until the batch system confirms that none of `chosen` is left.

        Args:
            chosen: Pilots to take back; None for all.
            deadline_s: Seconds after which a pilot is removed whatever it does.
            tell: Called after every look.

        Returns:
            Seconds that it took.
        """
        begun = time.monotonic()
        while True:
            elapsed_s = time.monotonic() - begun
            try:
                left = self.ask(chosen, firmness(elapsed_s, deadline_s, self._evict_s))
            except NotAvailableError as error:
                log.warning("%s Trying again.", error)
            else:
                running = sum(record.state is State.RUNNING for record in left)
                tell(Progress(len(left) - running, running, elapsed_s))
                if not left:
                    return elapsed_s
            time.sleep(POLL_S)
