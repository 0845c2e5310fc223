"""The history of the rules in the hub's database: appended to, never changed, replayed whenever it is read."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, String, Table, Text, insert, select, update

from fallow.rules.entry import Entry, Line, seal
from fallow.rules.history import HistoryError, State, follow, replay
from fallow_matcher.database import Base

ENTRY = Table(
    "rules_entry",
    Base.metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("hash", String(71), nullable=False),
)
"""One entry each, as it was hashed."""

HEAD = Table(
    "rules_head",
    Base.metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("hash", String(71), nullable=False),
)
"""One row: the last entry, so that entries missing at the end are missed; also what writers lock."""


def lines(connection: Connection, *, after: int = 0, limit: int | None = None) -> list[Line]:
    """The entries that follow number `after`, oldest first, as they stand in the database."""
    query = select(ENTRY.c.body, ENTRY.c.hash).where(ENTRY.c.seq > after).order_by(ENTRY.c.seq).limit(limit)
    return [Line.model_construct(body=row.body, hash=row.hash) for row in connection.execute(query)]


def state(connection: Connection, *, lock: bool = False) -> State | None:
    """What follows from the history; None where none was begun.

    Args:
        connection: A transaction.
        lock: Keep other writers out until it ends.

    Raises:
        HistoryError: The history is not what was written.
    """
    query = select(HEAD.c.seq, HEAD.c.hash)
    head = connection.execute(query.with_for_update() if lock else query).one_or_none()
    found = lines(connection)
    if head is None and not found:
        return None
    replayed = replay(found)
    if head is None or (head.seq, head.hash) != (replayed.seq, replayed.head):
        last = head.seq if head else 0
        raise HistoryError(
            f"The history of the rules ends at entry {replayed.seq}, but entry {last} was written last.",
            remedy="Compare the hub's database with a copy that a centre saved by `fallow rules history --json`.",
        )
    return replayed


def append(connection: Connection, before: State | None, entry: Entry) -> State:
    """Add an entry to the history.

    Raises:
        HistoryError: It may not follow on what is there.
    """
    line = seal(entry)
    after = follow(before, line)
    connection.execute(insert(ENTRY).values(seq=after.seq, body=line.body, hash=line.hash))
    if before is None:
        connection.execute(insert(HEAD).values(id=1, seq=after.seq, hash=line.hash))
    else:
        connection.execute(update(HEAD).values(seq=after.seq, hash=line.hash))
    return after
