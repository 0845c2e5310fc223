"""Watches over a running pilot until HTCondor has ended: token, images, signals and orders, time, idleness, failures."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Callable

from fallow_pilots.node import condor
from fallow_pilots.node.deadline import Deadline
from fallow_pilots.node.history import History, Ran
from fallow_pilots.node.imagerequests import ImageRequests
from fallow_pilots.node.latch import black_hole
from fallow_pilots.node.lifecycle import Asked, Phase, Situation, next_phase
from fallow_pilots.node.pool import SETUP_S, Pool
from fallow_pilots.node.signals import Signals
from fallow_pilots.node.stagerequests import StageRequests
from fallow_pilots.node.token import TokenCopy
from fallow_pilots.node.way import Way
from fallow_pilots.order import Order, Wish, read_order
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

TICK_S = 0.5
TOKEN_EVERY_S = 30.0
SEEN_EVERY_S = 15.0
ORDER_EVERY_S = 5.0
HISTORY_EVERY_S = 1.0
TELL_EVERY_S = 240.0
MOVED_S = 30
"""An end that moves by less is not advertised anew."""
HURRY_S = 8.0
"""How long before the owner's deadline what still runs is killed, so that it goes back to the queue in time."""
QUIT_S = 20.0
"""How long HTCondor's fast end may take before its processes are killed."""


@dataclass
class Watched:
    """What the supervisor has seen; see `lifecycle.End`."""

    phase: Phase = Phase.WORKING
    asked: Asked = Asked.NOTHING
    seen_in_pool: bool = False
    denied: bool = False
    token_valid: bool = True
    master_status: int = 0
    black_hole: str = ""


@dataclass
class Supervisor:
    """Looks after one pilot, twice a second.

    Args:
        spec: What the launcher asked for.
        pool: Its HTCondor, started.
        token: Its token.
        images: The images that its payloads wait for.
        files: The files that they wait for, or leave.
        way: How the hub is reached.
        signals: What the batch system asks.
        deadline: Who says when the pilot must have left.
        history: What ran here.
        until: Unix time at which it stops what runs, as advertised.
        evict_s: Seconds that stopping may take.
        tell: Takes what ran and the seconds in which nothing did, now and then.
    """

    spec: PilotSpec
    pool: Pool
    token: TokenCopy
    images: ImageRequests
    files: StageRequests
    way: Way
    signals: Signals
    deadline: Deadline
    history: History
    until: int
    evict_s: float
    tell: Callable[[Ran, float], None]
    seen: Watched = field(default_factory=Watched)
    order: Order | None = None
    _since: float = field(default_factory=time.monotonic)
    _busy: bool = False
    _idle_since: float = field(default_factory=time.monotonic)
    _idle_before_s: float = 0.0
    _due: dict[str, float] = field(default_factory=dict)

    def run(self) -> Watched:
        """Return when HTCondor has ended, or would not end."""
        self._in_time("tell", TELL_EVERY_S)
        while self.pool.ended() is None:
            self.signals.wait(TICK_S)
            self.way.keep()
            self.images.look()
            self.files.look()
            self._read_order()
            self._keep_token()
            self._look_into_pool()
            self._look_at_work()
            self._keep_time()
            self._advance()
            if self.seen.phase is Phase.KILLING and time.monotonic() - self._since > QUIT_S:
                log.error("pilot %s: HTCondor does not end and is killed", self.spec.pilot)
                break
        self._read_order()
        self.seen.asked = self.signals.asked
        self.seen.master_status = self.pool.ended() or 0
        return self.seen

    def _in_time(self, what: str, every_s: float) -> bool:
        """Whether it is time for something that is done every so often; the first time at once."""
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    def _read_order(self) -> None:
        """Look what the launcher wants: at once when there was a signal, else now and then."""
        signalled = self.signals.asked not in (Asked.NOTHING, Asked.WITHDRAW)
        if not signalled and not self._in_time("order", ORDER_EVERY_S):
            return
        self.order = read_order(self.spec.outcome_file) or self.order
        if self.order is None:
            return
        # Until then what runs may end by itself.
        over = self.signals.asked is Asked.EVICT or time.time() >= self.until
        withdrawn = self.order.wish is Wish.WITHDRAW and over
        self.signals.ask(Asked.WITHDRAW if withdrawn else Asked.DRAIN)

    def _keep_token(self) -> None:
        if self._in_time("token", TOKEN_EVERY_S):
            self.seen.token_valid = self.token.refresh(time.time())

    def _look_into_pool(self) -> None:
        if self.seen.seen_in_pool or self.seen.phase is not Phase.WORKING:
            return
        if self._in_time("pool", SEEN_EVERY_S):
            listed = self.pool.listed(self.spec.pilot)
            self.seen.seen_in_pool, self.seen.denied = bool(listed), listed is None
            if listed:
                log.info("pilot %s is in the pool", self.spec.pilot)

    def _look_at_work(self) -> None:
        now, was = time.monotonic(), self._busy
        self._busy = self.pool.busy()
        if self._busy and not was:
            self._idle_before_s += now - self._idle_since
        if self._busy or was:
            self._idle_since = now
        if not self.seen.black_hole and self._in_time("history", HISTORY_EVERY_S):
            self.seen.black_hole = black_hole(self.history.look().newest) or ""
            if self.seen.black_hole:
                log.error("pilot %s: %s", self.spec.pilot, self.seen.black_hole)
        if self._in_time("tell", TELL_EVERY_S):
            self.tell(self.history.look(), self._idle_before_s + (now - self._idle_since))

    def _keep_time(self) -> None:
        until = int(self.deadline.until(time.time(), self.order))
        moved = abs(until - self.until) >= MOVED_S
        self.until = until if moved else min(until, self.until)
        if moved and self.seen.phase in (Phase.WORKING, Phase.DRAINING):
            self._override()

    def _override(self) -> None:
        phase = self.seen.phase
        self.pool.override(
            condor.overrides(
                until=self.until,
                closed=phase is not Phase.WORKING,
                withdrawn=phase is Phase.WITHDRAWING,
            )
        )

    def _patience_s(self) -> float:
        """Seconds that stopping may take, from the start of the phase: less where the owner is in a hurry."""
        if self.order is None or self.order.leave_by is None:
            return self.evict_s
        age_s = time.monotonic() - self._since
        left_s = self.order.leave_by.timestamp() - time.time() + age_s
        return min(self.evict_s, max(0.0, left_s - HURRY_S))

    def _advance(self) -> None:
        situation = Situation(
            phase=self.seen.phase,
            phase_age_s=time.monotonic() - self._since,
            now=time.time(),
            until=self.until,
            asked=self.signals.asked,
            token_valid=self.seen.token_valid,
            evict_s=self._patience_s(),
            busy=self._busy,
            setting_up=self._busy and self.pool.setting_up(),
            setup_s=min(SETUP_S, self.spec.drain_grace_s / 5),
            idle_s=time.monotonic() - self._idle_since,
            idle_exit_s=self.spec.idle_exit_s,
            black_hole=bool(self.seen.black_hole),
        )
        wanted = next_phase(situation)
        if wanted is self.seen.phase:
            return
        log.info("pilot %s: %s", self.spec.pilot, wanted.name.lower())
        self.seen.phase, self._since = wanted, time.monotonic()
        if wanted is Phase.EVICTING:
            self.pool.evict()
        elif wanted is Phase.KILLING:
            self.pool.quit()
        else:
            self._override()
