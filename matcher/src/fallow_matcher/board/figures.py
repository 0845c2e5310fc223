"""What the page shows, read from what gateway and matcher keep anyway: nothing here asks the queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sqlalchemy import Engine

from fallow.capacity import CapacityPoint
from fallow.offers import Offer
from fallow.rules import parse_rules
from fallow.rules.changes import Change, changes, settings_of
from fallow.rules.history import HistoryError
from fallow.rules.messages import RulesReport, report
from fallow.rules.model import Published, Rules
from fallow_matcher import ledger, rules
from fallow_matcher.board.waits import WaitBook, Waits
from fallow_matcher.capacity import series
from fallow_matcher.capacity.offers import OfferStore
from fallow_matcher.ledger.standing import Place, Standing
from fallow_matcher.matching import decision
from fallow_matcher.matching.decision import Decision
from fallow_matcher.settings import HubSettings

logger = logging.getLogger(__name__)

WEEKS_S = 28 * 86_400
"""How far back the page looks."""
HISTORY_EVERY_S = 60
NOW_S = 300
"""A sample that is older says nothing about now."""

T = TypeVar("T")


@dataclass(frozen=True)
class History:
    """What each centre offered, ran and used, by centre and oldest first."""

    since: datetime
    until: datetime
    step_s: int
    points: Mapping[str, list[CapacityPoint]]


@dataclass(frozen=True)
class Agreed:
    """The rules, or why they cannot be told."""

    report: RulesReport
    settings: Mapping[str, object]
    proposed: Mapping[str, list[Change]]
    """What each proposal would change, by its digest."""


@dataclass(frozen=True)
class Figures:
    """All that the page says about a federation at one moment."""

    name: str
    at: datetime
    centres: list[str]
    offers: Mapping[str, Offer]
    latest: Mapping[str, CapacityPoint]
    """The last sample of each centre."""
    history: History
    decision: Decision | None
    waits: Waits
    standings: Mapping[Place, Standing]
    agreed: Agreed | None
    """None where the history of the rules is broken."""
    published: frozenset[Published]
    """What anybody may read."""


class Now(Generic[T]):
    """A value that is made anew when it is too old.

    Args:
        every_s: How old it may become, in seconds.
        make: Makes it.
    """

    def __init__(self, every_s: float, make: Callable[[], T]) -> None:
        self._every_s = every_s
        self._make = make
        self._made: tuple[float, T] | None = None

    def get(self) -> T:
        """The value."""
        now = time.monotonic()
        if self._made is None or now - self._made[0] >= self._every_s:
            self._made = (now, self._make())
        return self._made[1]


class Reader:
    """Reads the figures; what is dear to make is kept for a while.

    Args:
        settings: The hub's settings.
        offers: The centres' offers.
        database: The hub's database.
    """

    def __init__(self, settings: HubSettings, offers: OfferStore, database: Engine) -> None:
        self._settings = settings
        self._offers = offers
        self._database = database
        self._history = Now(HISTORY_EVERY_S, lambda: history(database, time.time(), WEEKS_S))
        self._waits = WaitBook(database)

    def read(self) -> Figures:
        """The figures of this moment.

        Raises:
            FallowError: The database says what it cannot.
            SQLAlchemyError: It cannot be used.
        """
        now = datetime.now(UTC)
        agreed, in_force = self._rules(now)
        recent = history(self._database, now.timestamp() + 1, NOW_S)  # what was taken in this second as well
        return Figures(
            name=self._settings.name,
            at=now,
            centres=self._settings.centre_names,
            offers={offer.centre: offer for offer in self._offers.standing(now)},
            latest={centre: points[-1] for centre, points in recent.points.items()},
            history=self._history.get(),
            decision=decision.last(self._settings.state_dir),
            waits=self._waits.known,
            standings=ledger.standings(self._database, now.timestamp(), in_force) if in_force else {},
            agreed=agreed,
            published=in_force.published() if in_force else frozenset(),
        )

    def look_at_waits(self) -> None:
        """Simulate what the waits would be alone: it takes seconds, so `read` shows what was found last.

        Raises:
            FallowError: The history of the rules is broken.
            SQLAlchemyError: The database cannot be used.
        """
        self._waits.look(rules.current(self._database).document)

    def _rules(self, now: datetime) -> tuple[Agreed | None, Rules | None]:
        try:
            state = rules.current(self._database)
        except HistoryError as error:
            logger.warning("the page shows no rules: %s", error)
            return None, None
        told = report(state, self._settings.centre_names, now)
        proposed = {
            each.digest: changes(state.rules, parse_rules(each.document, source="a proposal"))
            for each in told.proposals
        }
        return Agreed(told, settings_of(state.rules), proposed), state.rules


def history(database: Engine, until: float, length_s: int) -> History:
    """Capacity by centre over the last `length_s` seconds before `until`, a unix time."""
    since = until - length_s
    step_s, points = series.history(database, since, until)
    found: dict[str, list[CapacityPoint]] = {}
    for point in points:
        found.setdefault(point.centre, []).append(point)
    return History(datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC), step_s, found)
