"""Whether a person has stopped launches at this centre; kept in the launcher's memory until `resume`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from fallow.offers import OfferState
from fallow_pilots.store import HALT, Store


@dataclass(frozen=True)
class Halt:
    """Launches are stopped: the centre drains or is withdrawn."""

    state: OfferState
    since: datetime

    @property
    def sentence(self) -> str:
        """Why nothing starts."""
        return f"The centre is {self.state.value} since {self.since:%Y-%m-%d %H:%M:%S} UTC."


def read_halt(store: Store) -> Halt | None:
    """The halt in force, if any."""
    text = store.recall(HALT)
    if text is None:
        return None
    values = json.loads(text)
    return Halt(OfferState(values["state"]), datetime.fromisoformat(values["since"]))


def set_halt(store: Store, halt: Halt | None) -> None:
    """Stop launches, or allow them again with None; in force as soon as this returns."""
    if halt is None:
        store.remember(HALT, None)
    else:
        values = {"state": halt.state.value, "since": halt.since.isoformat()}
        store.remember(HALT, json.dumps(values))
