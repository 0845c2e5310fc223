"""A copy of the whole database as one file, taken while it is in use, and put back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL

from fallow.errors import NotAvailableError
from fallow_matcher.database.engine import database_url

KINDS = {"sqlite", "postgresql"}
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "username": "PGUSER",
    "password": "PGPASSWORD",
    "database": "PGDATABASE",
}
_QUERY = {"passfile": "PGPASSFILE", "host": "PGHOST", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}


def kind(url: str) -> str:
    """`sqlite` or `postgresql`."""
    return database_url(url).get_backend_name()


def dump(url: str, target: Path) -> None:
    """Write a copy of one state of the database to a new file.

    SQLite's backup interface and `pg_dump` both copy one state and hold no writer up for long.

    Raises:
        NotAvailableError: The database cannot be read, or `pg_dump` is missing or older than the server.
    """
    where = database_url(url)
    if where.get_backend_name() == "sqlite":
        _copy(Path(str(where.database)), target)
        return
    _postgresql(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], where)


def load(url: str, source: Path) -> None:
    """Put a copy back into a database that is empty.

    Raises:
        NotAvailableError: The database cannot be written, or `pg_restore` is missing.
    """
    where = database_url(url)
    if where.get_backend_name() == "sqlite":
        shutil.copyfile(source, str(where.database))
        Path(str(where.database)).chmod(0o600)
        return
    name = f"--dbname={where.database}"
    command = ["pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", name]
    _postgresql([*command, str(source)], where)


def _copy(path: Path, target: Path) -> None:
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    except (sqlite3.Error, OSError) as error:
        raise NotAvailableError(
            f"The database {path} cannot be copied: {error}.", remedy="Look at it with: fallow hub doctor"
        ) from error


def _postgresql(argv: list[str], where: URL) -> None:
    """Run one of PostgreSQL's programs; what it must know to log in is in its environment, never in its arguments."""
    surroundings = dict(os.environ)
    for name, variable in _VARIABLES.items():
        value = getattr(where, name)
        if value is not None:
            surroundings[variable] = str(value)
    for name, variable in _QUERY.items():
        value = where.query.get(name)
        if value is not None:
            surroundings[variable] = str(value)
    try:
        done = subprocess.run(argv, env=surroundings, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotAvailableError(
            f"{argv[0]} is not on PATH.",
            remedy="Install PostgreSQL's client programs of the server's version.",
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise NotAvailableError(
            f"{argv[0]} failed: {said[-1] if said else done.returncode}.",
            remedy="Its version must be that of the server or newer.",
        )
