"""Records go from one kind of database to another, all of them or none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from click.testing import CliRunner
from sqlalchemy import text
from tests.matcher.conftest import _new_database, _url
from tests.matcher.operation.conftest import DiskHub, machine

from fallow.errors import NotAvailableError, RefusedError, SettingsError
from fallow_matcher.cli import hub as hub_command
from fallow_matcher.database import attach_database, move, open_database, reading, writing
from fallow_matcher.matching.daemon import alone

__all__ = ["machine"]

IMAGE = """
INSERT INTO image (digest, centre, "user", bytes, created, statement) VALUES (:digest, 'north', 'ann', 7, 1.5, '')
"""


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """A database of SQLite with more records than one statement writes."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    engine = open_database(url)
    with writing(engine) as connection:
        connection.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1.5, 0)"))
        connection.execute(text(IMAGE), [{"digest": f"sha256:{number:064x}"} for number in range(2500)])
    engine.dispose()
    return url


@pytest.fixture
def empty(postgresql_server: Path) -> str:
    """A new database of PostgreSQL."""
    return _url(postgresql_server, _new_database(postgresql_server))


def contents(url: str) -> dict[str, list[Any]]:
    """All rows by table."""
    engine = attach_database(url)
    tables = sqlalchemy.MetaData()
    with reading(engine) as connection:
        tables.reflect(connection)
        found = {
            table.name: sorted(map(repr, connection.execute(sqlalchemy.select(table)).all()))
            for table in tables.sorted_tables
        }
    engine.dispose()
    return found


def test_all_records_are_in_the_other_database_and_stay_in_the_first(filled: str, empty: str) -> None:
    before = contents(filled)
    told: list[tuple[str, int, int]] = []
    rows = move.move(filled, empty, lambda *what: told.append(what))
    assert (rows["standing"], rows["image"]) == (1, 2500)
    assert contents(filled) == before
    assert contents(empty) == before
    assert told[-1][1] == told[-1][2]
    assert ("image", 1000, 2500) in told


def test_a_new_record_gets_a_number_that_none_has(filled: str, empty: str) -> None:
    move.move(filled, empty)
    engine = attach_database(empty)
    with writing(engine) as connection:
        connection.execute(text(IMAGE), {"digest": "sha256:new"})
        assert connection.execute(text("SELECT max(id) FROM image")).scalar_one() == 2501
    engine.dispose()


def test_a_database_that_has_records_is_left_as_it_is(filled: str, empty: str) -> None:
    move.move(filled, empty)
    before = contents(empty)
    with pytest.raises(RefusedError, match="has records already"):
        move.move(filled, empty)
    assert contents(empty) == before


def test_a_move_that_breaks_off_leaves_nothing_and_can_be_begun_again(filled: str, empty: str) -> None:
    def broken(table: str, done: int, total: int) -> None:
        if done > 2000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move.move(filled, empty, broken)
    assert move.move(filled, empty)["image"] == 2500


def test_what_is_no_database_of_this_release_is_refused(filled: str, empty: str) -> None:
    engine = open_database(filled)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001_old'"))
    engine.dispose()
    with pytest.raises(RefusedError, match="release"):
        move.move(filled, empty)


def test_a_database_that_cannot_be_reached_is_named(filled: str) -> None:
    with pytest.raises(NotAvailableError, match="cannot be used"):
        move.move(filled, "postgresql://fallow@127.0.0.1:1/fallow")


def test_a_password_in_the_url_is_refused_and_not_repeated(filled: str) -> None:
    with pytest.raises(SettingsError, match="password") as caught:
        move.move(filled, "postgresql://fallow:hunter2@127.0.0.1:1/fallow")
    assert "hunter2" not in str(caught.value)


def test_the_command_moves_the_records_of_a_stopped_hub_only(
    machine: Callable[..., DiskHub], empty: str
) -> None:
    hub = machine()
    hub.fill()
    argv = ["move-database", empty, "--settings", os.fspath(hub.toml), "--json"]
    with alone(hub.settings.state_dir, wait=False):
        refused = CliRunner().invoke(hub_command, argv)
    assert isinstance(refused.exception, RefusedError)
    assert "matcher" in str(refused.exception)
    done = CliRunner().invoke(hub_command, argv, catch_exceptions=False)
    assert {"table": "standing", "rows": 1} in json.loads(done.stdout)
    assert "start the hub" in done.stderr
