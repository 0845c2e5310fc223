"""The engine: SQLite by default, PostgreSQL by URL, both with the same two kinds of transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase

from fallow.errors import NotAvailableError, SettingsError
from fallow_matcher.database.upgrade import upgrade

BUSY_S = 30
"""How long a writer waits for another one before it gives up."""

_READS = "fallow_reads"
_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


class Base(DeclarativeBase):
    """Base of every table's class; constraints have names, so that migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def database_url(text: str) -> URL:
    """The URL of a database that the hub can use.

    Raises:
        SettingsError: It is none; the message never repeats it, for it may hold a password.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise SettingsError(
            "The database's URL cannot be read.", remedy=_REMEDY, setting="database"
        ) from None
    if url.drivername not in _DRIVERS or (url.drivername == "sqlite" and not url.database):
        raise SettingsError(
            f"The database's URL names {url.drivername!r} or no file.", remedy=_REMEDY, setting="database"
        )
    return url.set(drivername=_DRIVERS[url.drivername])


_REMEDY = "Write sqlite:////PATH or postgresql://USER@HOST/NAME?passfile=FILE."


def open_database(url: str) -> Engine:
    """Connect to a database and bring its schema up to date.

    Several processes may do so at once: one upgrades, the others wait for it.

    Args:
        url: `sqlite:////var/lib/fallow/fallow.sqlite`, or `postgresql://…` as libpq takes it.

    Raises:
        SettingsError: The URL is none of these.
        NotAvailableError: The database cannot be reached or opened, or belongs to a newer Fallow.
    """
    where = database_url(url)
    with _named(where):
        if where.get_backend_name() == "sqlite":
            _private_file(Path(str(where.database)))
        return _upgraded(_engine(where))


def attach_database(url: str) -> Engine:
    """Connect to a database that is there, whatever its schema, and leave it as it is.

    Raises:
        SettingsError: The URL is none of a database.
        NotAvailableError: There is no such database, or it cannot be reached.
    """
    where = database_url(url)
    with _named(where):
        if where.get_backend_name() == "sqlite":
            Path(str(where.database)).stat()
        engine = _engine(where)
        with reading(engine):
            return engine


@contextmanager
def _named(where: URL) -> Iterator[None]:
    """What fails within is said of the database."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise NotAvailableError(
            f"The database {where.render_as_string(hide_password=True)} cannot be used: {_reason(error)}.",
            remedy="Check the setting `database`, and that the database runs and lets the hub's account in.",
            retryable=True,
        ) from error


def _engine(where: URL) -> Engine:
    return _sqlite(where) if where.get_backend_name() == "sqlite" else _postgresql(where)


def _upgraded(engine: Engine) -> Engine:
    try:
        upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads one state of the database and changes nothing."""
    with engine.connect().execution_options(**{_READS: True}) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may change the database; all of it is kept, or nothing."""
    with engine.begin() as connection:
        yield connection


def alone(connection: Connection, lock: int) -> None:
    """Have transactions that write and name the same lock take turns, also those of two hubs.

    Args:
        connection: A transaction that writes; the lock is let go at its end. SQLite has one writer anyway.
        lock: What is guarded.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})


def _sqlite(where: URL) -> Engine:
    engine = sqlalchemy.create_engine(where, connect_args={"timeout": BUSY_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        # The driver's own idea of transactions would start them late and leave changes of the schema out.
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # One that reads first and writes later fails at once where another wrote in between, whatever the time-out.
        reads = connection.get_execution_options().get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgresql(where: URL) -> Engine:
    return sqlalchemy.create_engine(
        where, connect_args={"connect_timeout": 10}, pool_pre_ping=True, hide_parameters=True
    )


def _private_file(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _reason(error: Exception) -> str:
    """What the driver says, in one line, without the statement."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0].rstrip(".") if said else type(error).__name__
