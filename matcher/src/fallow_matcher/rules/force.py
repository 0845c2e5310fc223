"""The rules in force: the only ones that the hub goes by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from fallow.rules import Rules, default_text
from fallow.rules.entry import Line, first
from fallow.rules.history import State
from fallow_matcher.database import reading, writing
from fallow_matcher.rules import store


@dataclass(frozen=True)
class InForce:
    """The rules in force."""

    rules: Rules
    digest: str
    version: int
    since: datetime


def in_force(engine: Engine) -> InForce:
    """The rules that a quorum approved last, or those of a new federation; the whole history is checked first.

    Raises:
        HistoryError: The history is not what was written: no rules can be said to be agreed.
    """
    found = current(engine)
    return InForce(found.rules, found.digest, found.version, found.since)


def current(engine: Engine) -> State:
    """What follows from the history; begins it where there is none.

    Raises:
        HistoryError: As `in_force`.
    """
    with reading(engine) as connection:
        found = store.state(connection)
    return found or _begin(engine)


def history(engine: Engine, *, after: int = 0, limit: int | None = None) -> list[Line]:
    """Entries of the history in order, as they stand in the database, unchecked: for whoever checks them.

    Args:
        engine: The hub's database.
        after: Leave out the entries up to this number.
        limit: How many entries at most.
    """
    with reading(engine) as connection:
        found = store.lines(connection, after=after, limit=limit)
    if not found and after == 0:
        current(engine)
        with reading(engine) as connection:
            found = store.lines(connection, limit=limit)
    return found


def _begin(engine: Engine) -> State:
    try:
        with writing(engine) as connection:
            # Another process may have been quicker.
            return store.state(connection) or store.append(
                connection, None, first(default_text(), datetime.now(UTC))
            )
    except IntegrityError:  # PostgreSQL: it was quicker by a hair
        return current(engine)
