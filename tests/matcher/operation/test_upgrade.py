"""A hub that an older release has run goes on with its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from click.testing import CliRunner
from sqlalchemy import text
from tests.matcher.conftest import _new_database, _url, on_disk
from tests.matcher.operation.conftest import DiskHub

from fallow.errors import RefusedError
from fallow_matcher.cli import hub as hub_command
from fallow_matcher.database import attach_database, open_database, reading, writing
from fallow_matcher.database.engine import database_url
from fallow_matcher.database.upgrade import _settings, revision_of, revisions
from fallow_matcher.operation.archive import DATABASE, Reader
from fallow_matcher.operation.upgrade import upgrade_records

OLD = "0003_capacity"


def of_an_older_release(hub: DiskHub) -> None:
    """Give the hub a database with the schema `OLD` and a balance."""
    on_disk(hub.root, hub.settings)
    engine = sqlalchemy.create_engine(database_url(hub.settings.database_url))
    with engine.begin() as connection:
        config = _settings()
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
        connection.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1.5, 0)"))
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_data_of_an_older_release_is_kept_and_backed_up_before(
    machine: Callable[..., DiskHub], kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    changes = {}
    if kind == "postgresql":
        server: Path = request.getfixturevalue("postgresql_server")
        changes["database"] = _url(server, _new_database(server))
    hub = machine(**changes)
    of_an_older_release(hub)

    done = upgrade_records(hub.toml, hub.settings)

    assert (done.before, done.after) == (OLD, revisions()[0])
    engine = attach_database(hub.settings.database_url)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT balance FROM standing")).scalar_one() == 1.5
        connection.execute(text("SELECT * FROM image"))  # a table of the newer schema
    assert revision_of(engine) == revisions()[0]
    engine.dispose()
    assert done.backup is not None
    with done.backup.open("rb") as stream:
        reader = Reader(stream)
        reader.settings()
        assert reader.unpack(tmp_path / "unpacked").schema_revision == OLD
    assert (tmp_path / "unpacked" / DATABASE).stat().st_size > 0


def test_the_command_says_what_it_did_and_what_is_left_to_do(machine: Callable[..., DiskHub]) -> None:
    hub = machine()
    of_an_older_release(hub)
    argv = ["upgrade", "--settings", str(hub.toml), "--out", str(hub.condor)]
    first = CliRunner().invoke(hub_command, argv, catch_exceptions=False).output
    assert f"{OLD} → {revisions()[0]}" in first
    assert "restart it, as it is the old release's" in first
    assert "as it was" in CliRunner().invoke(hub_command, argv, catch_exceptions=False).output


def test_a_hub_of_a_newer_release_is_refused(machine: Callable[..., DiskHub]) -> None:
    hub = machine()
    on_disk(hub.root, hub.settings)
    engine = open_database(hub.settings.database_url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    engine.dispose()
    with pytest.raises(RefusedError, match="9999_future, which this release does not know"):
        upgrade_records(hub.toml, hub.settings)
