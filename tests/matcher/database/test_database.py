"""The hub's database: opened, upgraded, shared."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Engine, text

from fallow.errors import NotAvailableError, SettingsError
from fallow_matcher.database import Base, open_database, reading, writing
from fallow_matcher.ledger import tables


def url_of(engine: Engine) -> str:
    """The URL as a person writes it."""
    return engine.url.set(drivername=engine.url.get_backend_name()).render_as_string(hide_password=False)


def test_a_new_database_has_every_table_of_the_ledger_as_the_code_knows_it(database: Engine) -> None:
    found = sqlalchemy.inspect(database)
    for table in (
        tables.RUN,
        tables.STANDING,
        tables.EPOCH,
        tables.POSITION,
        tables.REPORT,
        tables.PILOT_RUN,
    ):
        there = {column["name"]: column for column in found.get_columns(table.name)}
        assert set(there) == set(table.columns.keys())
        assert {name for name, column in there.items() if not column["nullable"]} == {
            column.name for column in table.columns if not column.nullable
        }


def test_opening_a_database_again_changes_nothing(database: Engine) -> None:
    with writing(database) as connection:
        connection.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1.5, 0)"))
    again = open_database(
        database.url.render_as_string(hide_password=False).replace("+pysqlite", "").replace("+psycopg", "")
    )
    with reading(again) as connection:
        assert connection.execute(text("SELECT balance FROM standing")).scalar_one() == 1.5
    again.dispose()


def test_processes_that_open_a_new_database_at_once_all_get_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fallow.sqlite'}"
    opened: list[Engine] = []
    threads = [threading.Thread(target=lambda: opened.append(open_database(url))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    for engine in opened:
        engine.dispose()


def test_a_database_of_a_newer_release_is_refused(database: Engine) -> None:
    with writing(database) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    with pytest.raises(NotAvailableError, match="9999_future"):
        open_database(url_of(database))


def test_a_file_of_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "fallow.sqlite"
    open_database(f"sqlite:///{path}").dispose()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "mysql://root:hunter2@localhost/fallow", "oracle+x://a:hunter2@h/"]
)
def test_another_kind_of_database_is_refused_without_repeating_the_url(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        open_database(url)
    assert "hunter2" not in str(refused.value)
    assert refused.value.setting == "database"


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(NotAvailableError) as refused:
        open_database("postgresql://fallow:hunter2@127.0.0.1:1/fallow")
    assert "127.0.0.1" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_fails_half_way_leaves_nothing(database: Engine) -> None:
    with pytest.raises(ZeroDivisionError), writing(database) as connection:  # noqa: PT012
        connection.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1, 0)"))
        raise ZeroDivisionError
    with reading(database) as connection:
        assert connection.execute(text("SELECT count(*) FROM standing")).scalar_one() == 0


def test_a_reader_sees_one_state_while_another_writes(database: Engine) -> None:
    count = text("SELECT count(*) FROM standing")
    with reading(database) as reader:
        assert reader.execute(count).scalar_one() == 0
        with writing(database) as writer:
            writer.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1, 0)"))
        assert reader.execute(count).scalar_one() == 0
    with reading(database) as reader:
        assert reader.execute(count).scalar_one() == 1


def test_a_writer_waits_for_another(database: Engine) -> None:
    begun, done = threading.Event(), []

    def second() -> None:
        begun.set()
        with writing(database) as connection:
            connection.execute(text("UPDATE standing SET balance = balance * 10"))
        done.append(True)

    with writing(database) as connection:
        connection.execute(text("INSERT INTO standing VALUES ('north', 'cpu', 1, 0)"))
        connection.execute(text("UPDATE standing SET balance = balance + 1"))
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
    thread.join()
    assert done == [True]


def test_every_table_is_made_by_a_migration(database: Engine) -> None:
    assert set(Base.metadata.tables) <= set(sqlalchemy.inspect(database).get_table_names())
