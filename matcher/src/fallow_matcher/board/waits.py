"""How long the jobs of each centre waited, and how long they would have waited on its own machines alone."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from sqlalchemy import Engine, func, select

from fallow.errors import NotAvailableError
from fallow.rules.messages import Outcome
from fallow_matcher.database import reading
from fallow_matcher.ledger.run import CHARGED
from fallow_matcher.ledger.tables import RUN
from fallow_matcher.simulation import apart
from fallow_matcher.simulation.recorded import MAX_JOBS, described, recorded

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""A centre and a resource class."""


@dataclass(frozen=True)
class Wait:
    """The waits of one centre's jobs in one resource class, in seconds."""

    centre: str
    resource_class: str
    jobs: int
    mean_s: float
    p95_s: float
    """95 of 100 jobs waited no longer."""
    alone: Outcome | None
    """The same jobs on the centre's own machines alone, simulated; None where that is not known."""


@dataclass(frozen=True)
class Waits:
    """The waits of the latest jobs, of every centre that had any."""

    about: str = ""
    """Which jobs, in words."""
    waits: tuple[Wait, ...] = ()


def measured(database: Engine) -> dict[Key, list[float]]:
    """The waits of the same jobs that a simulation takes, sorted, by centre and class."""
    wanted = (
        select(RUN.c.consumer, RUN.c.resource_class, RUN.c.started - RUN.c.submitted)
        .where(RUN.c.outcome.in_(CHARGED), RUN.c.submitted.is_not(None), RUN.c.wall_s.is_not(None))
        .order_by(RUN.c.ended.desc(), RUN.c.id.desc())
        .limit(MAX_JOBS)
    )
    found: dict[Key, list[float]] = defaultdict(list)
    with reading(database) as connection:
        for consumer, resource_class, wait_s in connection.execute(wanted):
            found[consumer, resource_class].append(max(0.0, wait_s))
    return {key: sorted(each) for key, each in found.items()}


def beside(found: dict[Key, list[float]], alone: Iterable[Outcome]) -> tuple[Wait, ...]:
    """Measured waits beside simulated ones; pure."""
    simulated = {(each.centre, each.resource_class): each for each in alone if each.jobs}
    return tuple(
        Wait(
            centre=centre,
            resource_class=resource_class,
            jobs=len(waits),
            mean_s=sum(waits) / len(waits),
            p95_s=waits[ceil(0.95 * len(waits)) - 1],
            alone=simulated.get((centre, resource_class)),
        )
        for (centre, resource_class), waits in sorted(found.items())
    )


class WaitBook:
    """Keeps the waits, and makes them anew only where the ledger has grown: a simulation takes seconds.

    Args:
        database: The hub's database.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._last: tuple[object, ...] = ()
        self._known = Waits()

    @property
    def known(self) -> Waits:
        """The waits as they were made last."""
        return self._known

    def look(self, document: str) -> None:
        """Make the waits anew if need be; `document` is the rules in force.

        Raises:
            SQLAlchemyError: The database cannot be used.
        """
        with reading(self._database) as connection:
            state = tuple(connection.execute(select(func.count(RUN.c.ended), func.max(RUN.c.ended))).one())
        if state != self._last:
            self._known = self._made(document)
            self._last = state

    def _made(self, document: str) -> Waits:
        found = measured(self._database)
        if not found:
            return Waits()
        workload = recorded(self._database)
        try:
            alone = apart.alone(workload, document)
        except NotAvailableError as error:
            logger.warning("what the waits would be alone is not known: %s", error)
            alone = []
        return Waits(described(workload), beside(found, alone))
