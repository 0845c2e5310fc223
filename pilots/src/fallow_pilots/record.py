"""What the launcher remembers of one pilot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from fallow_pilots.order import Wish
from fallow_pilots.outcome import backs_off


class State(str, Enum):
    """A pilot's state as the launcher knows it; news moves it forward only, but `lost` may be corrected."""

    INTENT = "intent"
    """Written down before the batch system is asked, so that nothing is forgotten."""
    QUEUED = "queued"
    RUNNING = "running"
    LOST = "lost"
    """Unknown to the batch system for a while, and without an outcome; active again if it reappears."""
    ENDED = "ended"


RANK = {State.INTENT: 0, State.QUEUED: 1, State.RUNNING: 2, State.LOST: 3, State.ENDED: 4}
ACTIVE = (State.INTENT, State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class PilotRecord:
    """One pilot; moments are the launcher's own, in UTC."""

    pilot: str
    state: State
    cores: int
    gpus: int
    walltime_s: int
    submitted: datetime
    native_id: str | None = None
    node: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    absent_since: datetime | None = None
    """Since when the batch system does not know it."""
    code: int | None = None
    """Outcome code, once the pilot has left one."""
    reason: str | None = None
    asked_to_stop: datetime | None = None
    """When a person first asked for its capacity."""
    wish: Wish | None = None
    """What that person wants."""
    leave_by: datetime | None = None
    """When it is removed, whatever it does."""
    busy_core_s: int = 0
    jobs_run: int = 0
    nodes: int = 1
    """Nodes of its allocation; cores and GPUs are those of all together."""
    account: str | None = None
    """The person's account that it runs under; None: the launcher's own."""

    @property
    def active(self) -> bool:
        """Whether it holds, or may yet hold, part of the centre."""
        return self.state in ACTIVE

    def lived_s(self, now: datetime) -> float:
        """Seconds that it has run by `now`."""
        if self.started is None:
            return 0.0
        return max(0.0, ((self.ended or now) - self.started).total_seconds())

    def fizzled(self, fizzle_s: int) -> bool:
        """Whether it was of no use: it says so by its code, or it ended early without leaving one."""
        if self.active or self.ended is None:
            return False
        if self.code is not None:
            return backs_off(self.code)
        if self.native_id is None and (self.reason is None or self.account is not None):
            return False  # the launcher was killed before it submitted this one, or one person's account refused it
        return self.asked_to_stop is None and self.lived_s(self.ended) < fizzle_s

    def proves(self, fizzle_s: int, now: datetime) -> bool:
        """Whether it shows that pilots are of use: it worked, or it has outlived the fizzle time."""
        if self.code is not None and self.code // 100 == 2:
            return True
        return not self.fizzled(fizzle_s) and self.lived_s(now) >= fizzle_s
