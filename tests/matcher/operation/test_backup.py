"""A hub is backed up and restored whole, or not at all."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from tests.matcher.conftest import _new_database, _url
from tests.matcher.operation.conftest import INPUT, QUEUE, DiskHub

from fallow.errors import FallowError, RefusedError
from fallow_matcher.cli import hub as command
from fallow_matcher.database import open_database, reading, writing
from fallow_matcher.operation import archive
from fallow_matcher.operation.backup import backup
from fallow_matcher.operation.restore import GAP, restore


def taken(hub: DiskHub) -> bytes:
    """A backup of the hub."""
    stream = io.BytesIO()
    backup(hub.toml, hub.settings, stream)
    return stream.getvalue()


def wiped(hub: DiskHub) -> None:
    """As a new machine: only the settings' file and what `restore` finds beside the state are left to the test."""
    shutil.rmtree(hub.settings.state_dir)
    shutil.rmtree(hub.condor, ignore_errors=True)


def balance(hub: DiskHub) -> float:
    engine = open_database(hub.settings.database_url)
    try:
        with reading(engine) as connection:
            return float(connection.execute(text("SELECT balance FROM standing")).scalar_one())
    finally:
        engine.dispose()


def test_a_restored_hub_has_queue_ledger_keys_and_configuration(machine: Callable[..., DiskHub]) -> None:
    hub = machine()
    hub.fill()
    key = (hub.settings.state_dir / "keys" / "users").read_bytes()
    text_before = hub.toml.read_text()
    saved = taken(hub)
    wiped(hub)
    hub.toml.unlink()
    hub.settings.tls_cert.unlink()

    made = restore(io.BytesIO(saved), hub.toml, hub.condor)

    assert hub.toml.read_text() == text_before
    assert hub.settings.tls_cert.read_text() == "a certificate\n"
    assert made.kept == [hub.settings.storage.keys_file]
    state = hub.settings.state_dir
    assert (state / "keys" / "users").read_bytes() == key
    assert (state / INPUT).read_text() == "numbers\n"
    queue = (state / "spool" / "job_queue.log").read_bytes()
    assert queue == QUEUE + b"103 0.0 NextClusterNum %d\n" % (8 + GAP)
    assert balance(hub) == 1.5
    folders = [path for path in state.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert (hub.condor / "condor_config").exists()
    assert (state / "tokens" / "hub").exists()
    assert [path.name for path in state.iterdir() if path.name.startswith(".")] == []


def test_a_database_of_postgresql_comes_along(
    machine: Callable[..., DiskHub], postgresql_server: Path
) -> None:
    hub = machine(database=_url(postgresql_server, _new_database(postgresql_server)))
    hub.fill()
    saved = taken(hub)
    wiped(hub)
    with pytest.raises(RefusedError, match="The database is not empty"):
        restore(io.BytesIO(saved), hub.toml, hub.condor)
    fresh = machine(database=_url(postgresql_server, _new_database(postgresql_server)))
    restore(io.BytesIO(saved), fresh.toml, fresh.condor)
    assert balance(fresh) == 1.5


def test_one_of_two_hubs_is_restored_and_leaves_their_database_as_it_is(
    machine: Callable[..., DiskHub], postgresql_server: Path
) -> None:
    two = {"first": "hub.example.org", "second": "hub2.example.org"}
    hub = machine(pair=two, database=_url(postgresql_server, _new_database(postgresql_server)))
    hub.fill()
    saved = taken(hub)
    engine = open_database(hub.settings.database_url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE standing SET balance = 2.5"))
    engine.dispose()
    wiped(hub)
    restore(io.BytesIO(saved), hub.toml, hub.condor)
    assert balance(hub) == 2.5
    assert (hub.settings.state_dir / INPUT).read_text() == "numbers\n"


def test_a_hub_that_is_there_is_not_overwritten(machine: Callable[..., DiskHub]) -> None:
    hub = machine()
    hub.fill()
    with pytest.raises(RefusedError, match="is not empty"):
        restore(io.BytesIO(taken(hub)), hub.toml, hub.condor)
    assert balance(hub) == 1.5


def test_a_backup_of_another_federation_is_refused_and_leaves_nothing(
    machine: Callable[..., DiskHub],
) -> None:
    hub = machine()
    hub.fill()
    saved = taken(hub)
    wiped(hub)
    other = machine(trust_domain="other.example.org")
    with pytest.raises(RefusedError, match="would be another's"):
        restore(io.BytesIO(saved), other.toml, other.condor)
    assert list(other.settings.state_dir.iterdir()) == []


def test_a_backup_of_a_newer_release_is_refused(machine: Callable[..., DiskHub]) -> None:
    hub = machine()
    hub.fill()
    engine = open_database(hub.settings.database_url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    engine.dispose()
    saved = taken(hub)
    wiped(hub)
    with pytest.raises(RefusedError, match="schema 9999_future, which this release does not know"):
        restore(io.BytesIO(saved), hub.toml, hub.condor)


@pytest.mark.parametrize("how", ["cut", "changed", "nonsense", "other"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(machine: Callable[..., DiskHub], how: str) -> None:
    hub = machine()
    hub.fill()
    saved = taken(hub)
    wiped(hub)
    with pytest.raises(RefusedError, match="backup"):
        restore(io.BytesIO(damaged(saved, how)), hub.toml, hub.condor)
    assert not hub.settings.state_dir.exists() or list(hub.settings.state_dir.iterdir()) == []


def damaged(saved: bytes, how: str) -> bytes:
    plain = gzip.decompress(saved)
    if how == "cut":
        return gzip.compress(plain[: len(plain) // 2])
    if how == "changed":
        return gzip.compress(plain.replace(b"numbers\n", b"numberz\n"))
    if how == "nonsense":
        return b"nonsense"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("hub.conf"))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["../outside", "/etc/fallow-outside", "state/link"])
def test_a_member_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(archive.SETTINGS))
        member = tarfile.TarInfo(name)
        if name == "state/link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)
    stream.seek(0)
    reader = archive.Reader(stream)
    reader.settings()
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(RefusedError):
        reader.unpack(folder)
    assert not (tmp_path / "outside").exists()
    assert list(folder.iterdir()) == []


def test_a_file_that_shrinks_while_it_is_copied_ends_the_backup(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)

    class Shrinking(io.BytesIO):
        def write(self, data: object) -> int:  # the archive's first bytes go out before the file is read
            os.truncate(path, 10)
            return 0

    writer = archive.Writer(Shrinking())
    path.write_bytes(os.urandom(1 << 20))
    with pytest.raises(FallowError, match="cannot be copied"):
        writer.file("file", path)


def test_the_file_of_a_backup_is_its_owners_alone_and_new(machine: Callable[..., DiskHub]) -> None:
    hub = machine()
    hub.fill()
    target = hub.root / "backup.tar.gz"
    argv = ["backup", "--settings", str(hub.toml), "-o", str(target)]
    done = CliRunner().invoke(command, argv, catch_exceptions=False)
    assert "jobs that came" in done.output
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(RefusedError, match="File exists"):
        CliRunner().invoke(command, argv, catch_exceptions=False)
