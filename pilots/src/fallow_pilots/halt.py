"""What a person has taken back from this launcher; kept in its memory until `resume`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from fallow.offers import OfferState
from fallow_pilots.order import Wish
from fallow_pilots.store import HALT, RESUMED, Store

STATES = {Wish.DRAIN: OfferState.DRAINING, Wish.WITHDRAW: OfferState.WITHDRAWN}


@dataclass(frozen=True)
class Halt:
    """Launches are stopped or limited.

    Args:
        wish: What is wanted.
        since: Since when.
        leave_by: When the centre's pilots are removed; None: never before their end.
        ceiling: None: the whole centre is taken back. Else only some pilots were: no more than so many may be active.
    """

    wish: Wish
    since: datetime
    leave_by: datetime | None = None
    ceiling: int | None = None

    @property
    def state(self) -> OfferState:
        """What the hub is shown."""
        return STATES[self.wish] if self.ceiling is None else OfferState.OPEN

    @property
    def sentence(self) -> str:
        """Why nothing, or no more, starts."""
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        if self.ceiling is None:
            return f"The centre is {self.state.value} since {since}."
        return f"Pilots were taken back by name at {since}: {self.ceiling} may be here until `fallow pilot resume`."


def read_halt(store: Store) -> Halt | None:
    """The halt in force, if any."""
    text = store.recall(HALT)
    if text is None:
        return None
    values = json.loads(text)
    leave_by = values["leave_by"]
    return Halt(
        Wish(values["wish"]),
        datetime.fromisoformat(values["since"]),
        datetime.fromisoformat(leave_by) if leave_by else None,
        values["ceiling"],
    )


def set_halt(store: Store, halt: Halt) -> None:
    """Stop or limit launches; in force as soon as this returns."""
    values = {
        "wish": halt.wish.value,
        "since": halt.since.isoformat(),
        "leave_by": halt.leave_by.isoformat() if halt.leave_by else None,
        "ceiling": halt.ceiling,
    }
    store.remember(HALT, json.dumps(values))


def allow(store: Store, now: datetime) -> None:
    """Allow launches again, at once: what became of earlier pilots is no reason to go slowly any more."""
    store.remember(RESUMED, now.isoformat())
    store.remember(HALT, None)


def allowed_since(store: Store) -> datetime | None:
    """When a person last allowed launches."""
    text = store.recall(RESUMED)
    return None if text is None else datetime.fromisoformat(text)
