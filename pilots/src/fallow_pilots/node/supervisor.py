"""Watches over a running pilot until HTCondor has ended: token, images, signals, time."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from fallow_pilots.node.imagerequests import ImageRequests
from fallow_pilots.node.lifecycle import Asked, Phase, Situation, next_phase
from fallow_pilots.node.pool import Pool
from fallow_pilots.node.signals import Signals
from fallow_pilots.node.token import TokenCopy

log = logging.getLogger(__name__)

TICK_S = 0.5
TOKEN_EVERY_S = 30.0
SEEN_EVERY_S = 15.0
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


@dataclass
class Supervisor:
    """Looks after one pilot, twice a second.

    Args:
        pilot: The pilot's id.
        pool: Its HTCondor, started.
        token: Its token.
        images: The images that its payloads wait for.
        signals: What the batch system asks.
        until: Unix time at which it stops what runs.
        evict_s: Seconds that stopping may take.
    """

    pilot: str
    pool: Pool
    token: TokenCopy
    images: ImageRequests
    signals: Signals
    until: float
    evict_s: float
    seen: Watched = field(default_factory=Watched)
    _since: float = field(default_factory=time.monotonic)
    _token_due: float = 0.0
    _look_due: float = 0.0

    def run(self) -> Watched:
        """Return when HTCondor has ended, or would not end."""
        while self.pool.ended() is None:
            self.signals.wait(TICK_S)
            self.images.look()
            self._keep_token()
            self._look_into_pool()
            self._advance()
            if self.seen.phase is Phase.KILLING and time.monotonic() - self._since > QUIT_S:
                log.error("pilot %s: HTCondor does not end and is killed", self.pilot)
                break
        self.seen.asked = self.signals.asked
        self.seen.master_status = self.pool.ended() or 0
        return self.seen

    def _keep_token(self) -> None:
        now = time.time()
        if now >= self._token_due:
            self.seen.token_valid, self._token_due = self.token.refresh(now), now + TOKEN_EVERY_S

    def _look_into_pool(self) -> None:
        now = time.monotonic()
        if self.seen.seen_in_pool or self.seen.phase is not Phase.WORKING or now < self._look_due:
            return
        listed = self.pool.listed(self.pilot)
        self._look_due = time.monotonic() + SEEN_EVERY_S
        self.seen.seen_in_pool, self.seen.denied = bool(listed), listed is None
        if listed:
            log.info("pilot %s is in the pool", self.pilot)

    def _advance(self) -> None:
        situation = Situation(
            phase=self.seen.phase,
            phase_age_s=time.monotonic() - self._since,
            now=time.time(),
            until=self.until,
            asked=self.signals.asked,
            token_valid=self.seen.token_valid,
            evict_s=self.evict_s,
            busy=self.pool.busy() if self.seen.phase is Phase.DRAINING else True,
        )
        wanted = next_phase(situation)
        if wanted is self.seen.phase:
            return
        log.info("pilot %s: %s", self.pilot, wanted.name.lower())
        act = {
            Phase.DRAINING: self.pool.drain,
            Phase.EVICTING: self.pool.evict,
            Phase.KILLING: self.pool.quit,
        }
        act[wanted]()
        self.seen.phase, self._since = wanted, time.monotonic()
