"""All records copied from one database to another of any kind: from SQLite to PostgreSQL, where a second hub is wanted."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import NotAvailableError, RefusedError, SettingsError
from fallow.output import Told
from fallow_matcher.database.engine import attach_database, database_url, open_database, reading, writing
from fallow_matcher.database.upgrade import revision_of, revisions

AT_ONCE = 1000
"""Rows that one statement writes."""
_VERSION = "alembic_version"


def move(source_url: str, target_url: str, told: Told | None = None) -> dict[str, int]:
    """Copy every record; the source stays as it is, and the target has all of it or nothing.

    Args:
        source_url: The database of a hub that nobody writes to now.
        target_url: A database with no records.
        told: Is told of each table how many of its rows are there.

    Returns:
        The number of rows, by table.

    Raises:
        RefusedError: The source is of another release, or the target has records already.
        SettingsError: A URL cannot be used, or that of the target holds a password.
        NotAvailableError: One of them cannot be used.
    """
    if database_url(target_url).password is not None:
        raise SettingsError(
            "The URL holds a password, which everybody on this machine may see.",
            remedy="Name a file instead: ?passfile=FILE",
        )
    source = attach_database(source_url)
    try:
        if revision_of(source) != revisions()[0]:
            raise RefusedError(
                "The database is of an older or newer release.", remedy="First: fallow hub upgrade"
            )
        target = open_database(target_url)
        try:
            with reading(source) as old, writing(target) as new:
                return _copied(old, new, told)
        except SQLAlchemyError as error:
            raise NotAvailableError(
                f"The records were not copied, nothing of them is kept: {type(error).__name__}.",
                remedy="See whether both databases run and have room; then begin again.",
            ) from error
        finally:
            target.dispose()
    finally:
        source.dispose()


def _copied(old: Connection, new: Connection, told: Told | None) -> dict[str, int]:
    there = MetaData()
    there.reflect(old)
    tables = [table for table in there.sorted_tables if table.name != _VERSION]
    for table in tables:
        if _count(new, table):
            raise RefusedError(
                f"The new database has records already, in the table {table.name}.",
                remedy="Give it a new, empty database.",
            )
    found = {}
    for table in tables:
        total, done = _count(old, table), 0
        for rows in old.execute(sqlalchemy.select(table)).mappings().partitions(AT_ONCE):
            new.execute(table.insert(), [dict(row) for row in rows])
            done += len(rows)
            if told is not None:
                told(table.name, done, total)
        _go_on_counting(new, table)
        found[table.name] = done
    return found


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar_one()


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL counts rows on its own: the next one must get a number that none has."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        name = {"table": table.name, "column": column.name}
        ask = sqlalchemy.text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = connection.execute(ask, name).scalar_one()
        last = connection.execute(sqlalchemy.select(sqlalchemy.func.max(column))).scalar_one()
        if sequence is not None and last is not None:
            connection.execute(
                sqlalchemy.text("SELECT setval(:name, :last)"), {"name": sequence, "last": last}
            )
