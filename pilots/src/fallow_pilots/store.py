"""The launcher's memory: one SQLite file in the state directory.

A pilot is written down before the batch system hears of it, in the transaction that looks at the withdraw
flag: nothing is launched after a withdrawal, and what a killed launcher left behind is found by its name. The
file lies on a shared file system, where a write-ahead log does not work: SQLite's rollback journal is used.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from fallow.errors import NotAvailableError
from fallow_pilots.order import Wish
from fallow_pilots.record import ACTIVE, RANK, PilotRecord, State

SCHEMA = """
CREATE TABLE IF NOT EXISTS pilots (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL,
    cores INTEGER NOT NULL,
    gpus INTEGER NOT NULL,
    walltime_s INTEGER NOT NULL,
    submitted REAL NOT NULL,
    native_id TEXT,
    node TEXT,
    started REAL,
    ended REAL,
    absent_since REAL,
    code INTEGER,
    reason TEXT,
    asked_to_stop REAL,
    wish TEXT,
    leave_by REAL,
    busy_core_s INTEGER NOT NULL DEFAULT 0,
    jobs_run INTEGER NOT NULL DEFAULT 0,
    nodes INTEGER NOT NULL DEFAULT 1,
    account TEXT
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS idle (node TEXT PRIMARY KEY, since REAL NOT NULL);
"""
ADDED = {"account": "TEXT"}
"""Columns of `pilots` that the state of an earlier release lacks."""
HALT, RESUMED = "halt", "resumed"
MOMENTS = {"submitted", "started", "ended", "absent_since", "asked_to_stop", "leave_by"}
COLUMNS = tuple(field.name for field in fields(PilotRecord) if field.name != "pilot")
ORDERED = ("asked_to_stop", "wish", "leave_by")
"""What an order sets; news of the pilot never overwrites it."""
SEEN = tuple(name for name in COLUMNS if name not in ORDERED)


def _stored(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    return value.value if isinstance(value, Enum) else value


class Store:
    """All that outlives the launcher's process.

    Args:
        path: The database; made if it is missing.
        centre: The centre whose pilots it holds.
    """

    def __init__(self, path: Path, centre: str) -> None:
        self._centre = centre
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(SCHEMA)
            self._complete()
        except sqlite3.Error as error:
            raise NotAvailableError(
                f"Cannot use the launcher's state {path}: {error}.", remedy="Check state_dir in the policy."
            ) from error

    def _complete(self) -> None:
        """Bring the state of an earlier release up to date."""
        if self._lacking():
            with self._writing():  # whoever else opens it now waits, and finds nothing lacking
                for name in self._lacking():
                    self._db.execute(f"ALTER TABLE pilots ADD COLUMN {name} {ADDED[name]}")

    def _lacking(self) -> list[str]:
        there = {row["name"] for row in self._db.execute("PRAGMA table_info(pilots)")}
        return [name for name in ADDED if name not in there]

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise NotAvailableError(
                f"Cannot write the launcher's state: {error}.",
                remedy="Is the file system of state_dir full or away?",
                retryable=True,
            ) from error

    def _record(self, row: sqlite3.Row) -> PilotRecord:
        values: dict[str, Any] = {name: row[name] for name in COLUMNS}
        for name in MOMENTS:
            if values[name] is not None:
                values[name] = datetime.fromtimestamp(values[name], tz=timezone.utc)
        values["state"] = State(values["state"])
        values["wish"] = Wish(values["wish"]) if values["wish"] else None
        return PilotRecord(pilot=f"{self._centre}-{row['serial']}", **values)

    def records(self, since: datetime) -> list[PilotRecord]:
        """Pilots that have not ended, and those that ended after `since`; the oldest first."""
        rows = self._db.execute(
            "SELECT * FROM pilots WHERE ended IS NULL OR ended >= ? ORDER BY serial", (since.timestamp(),)
        )
        return [self._record(row) for row in rows]

    def intend(self, planned: PilotRecord) -> PilotRecord | None:
        """Write down a pilot that is about to be submitted, and name it; None when a halt allows no more."""
        with self._writing():
            halt = self.recall(HALT)
            if halt is not None and self._active() >= (json.loads(halt)["ceiling"] or 0):
                return None
            marks = ", ".join("?" * len(COLUMNS))
            cursor = self._db.execute(
                f"INSERT INTO pilots ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608 - our own names
                [_stored(getattr(planned, name)) for name in COLUMNS],
            )
            serial = cursor.lastrowid
        return replace(planned, pilot=f"{self._centre}-{serial}")

    def _active(self) -> int:
        states = [state.value for state in ACTIVE]
        marks = ", ".join("?" * len(states))
        (count,) = self._db.execute(
            f"SELECT count(*) FROM pilots WHERE state IN ({marks})",  # noqa: S608 - question marks
            states,
        ).fetchone()
        return int(count)

    def adopt(self, record: PilotRecord) -> None:
        """Take in a pilot that only the batch system knows; its serial is never used again."""
        with self._writing():
            self._db.execute(
                f"INSERT OR IGNORE INTO pilots (serial, {', '.join(COLUMNS)}) "  # noqa: S608 - our own names
                f"VALUES (?{', ?' * len(COLUMNS)})",
                (self._serial(record), *(_stored(getattr(record, name)) for name in COLUMNS)),
            )

    def update(self, changed: Iterable[PilotRecord]) -> None:
        """Store changed records; one that somebody else has moved further meanwhile stays as it is."""
        assignments = ", ".join(f"{name} = ?" for name in SEEN)
        with self._writing():
            for record in changed:
                serial = self._serial(record)
                row = self._db.execute("SELECT * FROM pilots WHERE serial = ?", (serial,)).fetchone()
                if row is None:
                    continue
                stored = self._record(row)
                if RANK[record.state] < RANK[stored.state] and stored.state is not State.LOST:
                    continue
                self._db.execute(
                    f"UPDATE pilots SET {assignments} WHERE serial = ?",  # noqa: S608 - our own names
                    (*(_stored(getattr(record, name)) for name in SEEN), serial),
                )

    def order(
        self, pilots: Iterable[str], wish: Wish, now: datetime, leave_by: datetime | None
    ) -> list[PilotRecord]:
        """Write down that pilots are to leave; an order only grows firmer. Returns all that are ordered now."""
        ordered = []
        with self._writing():
            for pilot in pilots:
                serial = int(pilot.rpartition("-")[2])
                row = self._db.execute("SELECT * FROM pilots WHERE serial = ?", (serial,)).fetchone()
                if row is None:
                    continue
                known = self._record(row)
                moments = [moment for moment in (known.leave_by, leave_by) if moment is not None]
                record = replace(
                    known,
                    asked_to_stop=known.asked_to_stop or now,
                    wish=Wish.WITHDRAW if known.wish is Wish.WITHDRAW else wish,
                    leave_by=min(moments, default=None),
                )
                if record != known:
                    self._db.execute(
                        "UPDATE pilots SET asked_to_stop = ?, wish = ?, leave_by = ? WHERE serial = ?",
                        (*(_stored(getattr(record, name)) for name in ORDERED), serial),
                    )
                ordered.append(record)
        return ordered

    def forget(self, before: datetime) -> list[str]:
        """Drop pilots that ended before `before` and return their ids; serials are not used again."""
        with self._writing():
            rows = self._db.execute(
                "SELECT serial FROM pilots WHERE ended < ?", (before.timestamp(),)
            ).fetchall()
            self._db.executemany("DELETE FROM pilots WHERE serial = ?", [(row["serial"],) for row in rows])
        return [f"{self._centre}-{row['serial']}" for row in rows]

    def _serial(self, record: PilotRecord) -> int:
        return int(record.pilot.rpartition("-")[2])

    def recall(self, name: str) -> str | None:
        """A remembered fact."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["value"])

    def remember(self, name: str, value: str | None) -> None:
        """Remember a fact, or forget it when `value` is None."""
        if value is None:
            self._db.execute("DELETE FROM facts WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def idle_since(self) -> dict[str, datetime]:
        """Since when each node has been seen idle without interruption."""
        rows = self._db.execute("SELECT node, since FROM idle")
        return {row["node"]: datetime.fromtimestamp(row["since"], tz=timezone.utc) for row in rows}

    def saw_idle(self, nodes: Iterable[str], now: datetime) -> None:
        """Note which nodes are idle now; the clock of all others starts anew."""
        known = self.idle_since()
        with self._writing():
            self._db.execute("DELETE FROM idle")
            self._db.executemany(
                "INSERT INTO idle VALUES (?, ?)",
                [(node, min(known.get(node, now), now).timestamp()) for node in set(nodes)],
            )
