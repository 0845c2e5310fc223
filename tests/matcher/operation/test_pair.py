"""What the first of two hubs shares makes another machine the second, and nothing else does."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.matcher.conftest import raw_settings, revoke_on_disk
from tests.matcher.operation.conftest import DiskHub, toml

from fallow.errors import RefusedError, SettingsError
from fallow_matcher.cli import hub as command
from fallow_matcher.gateway.webidentity import WebIdentity
from fallow_matcher.htcondor import configure, keys, revocation
from fallow_matcher.operation import pair
from fallow_matcher.operation.restore import restore
from fallow_matcher.settings import read

FIRST, SECOND = "hub.example.org", "hub2.example.org"
TWO = {"pair": {"first": FIRST, "second": SECOND}, "database": "postgresql:///fallow"}

Machine = Callable[..., DiskHub]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """`machine(host)`: a machine with the settings of that hub, and nothing else of it yet."""

    def make(host: str, **changes: Any) -> DiskHub:
        root = tmp_path / host
        root.mkdir(exist_ok=True)
        (root / "hub.toml").write_text(toml(raw_settings(root, host=host, **{**TWO, **changes})))
        return DiskHub(root, read(root / "hub.toml"))

    return make


@pytest.fixture
def first(machine: Machine) -> DiskHub:
    made = machine(FIRST)
    configure.configure(made.settings, made.condor)
    return made


def shared(first: DiskHub) -> io.BytesIO:
    stream = io.BytesIO()
    pair.share(first.toml, first.settings, stream)
    return io.BytesIO(stream.getvalue())


def joined(first: DiskHub, second: DiskHub) -> list[str]:
    """The names of what is new at the second hub once it has joined."""
    return [path.name for path in pair.join(shared(first), second.toml, second.condor).new]


def content(hub: DiskHub) -> dict[str, bytes]:
    """Every key of a hub by its path."""
    state = hub.settings.state_dir
    found = [*keys.directory(hub.settings).iterdir(), *(state / secret for secret in pair.SECRETS)]
    return {str(path.relative_to(state)): path.read_bytes() for path in found}


def test_the_second_hub_has_the_keys_of_the_first_and_nobody_else_reads_them(
    first: DiskHub, machine: Machine
) -> None:
    second = machine(SECOND)
    assert "pilot-north" in joined(first, second)
    assert content(second) == content(first)
    modes = {stat.S_IMODE((second.settings.state_dir / name).stat().st_mode) for name in content(second)}
    assert modes == {0o600}
    assert joined(first, second) == []


def test_each_queue_gives_numbers_of_its_own(first: DiskHub, machine: Machine) -> None:
    second = machine(SECOND)
    joined(first, second)
    assert "SCHEDD_CLUSTER_MAXIMUM_VALUE = 1000000000\n" in (first.condor / "condor_config").read_text()
    assert "SCHEDD_CLUSTER_INITIAL_VALUE = 1000000000\n" in (second.condor / "condor_config").read_text()


def test_the_store_takes_the_second_hubs_word_for_the_firsts(first: DiskHub, machine: Machine) -> None:
    second = machine(SECOND)
    joined(first, second)
    assert WebIdentity(second.settings).issuer == f"https://{FIRST}:8443"


def test_a_second_hub_makes_no_keys_of_its_own(machine: Machine) -> None:
    second = machine(SECOND)
    with pytest.raises(SettingsError, match="`fallow hub share` at the first hub"):
        configure.configure(second.settings, second.condor)


def test_new_keys_come_and_retired_ones_go_when_the_second_joins_again(
    first: DiskHub, machine: Machine
) -> None:
    second = machine(SECOND)
    joined(first, second)
    configure.rotate_key(first.settings, keys.USER_KEY)
    keys.retire(first.settings, keys.USER_KEY)
    assert joined(first, second) == ["users.2"]
    assert content(second) == content(first)


def test_files_that_changed_at_the_first_are_replaced_but_for_the_seconds_own(machine: Machine) -> None:
    place = {"endpoint": "http://127.0.0.1:1", "bucket": "fallow"}
    shared_root = machine(FIRST).root.parent
    keys_file, ca_file = shared_root / "s3.toml", shared_root / "ca.pem"
    named = {
        "storage": {**place, "keys_file": keys_file, "ca_file": ca_file},
        "tls_cert": shared_root / "tls.pem",
    }
    first, second = machine(FIRST, **named), machine(SECOND, **named)
    configure.configure(first.settings, first.condor)
    contents = {keys_file: b"new", ca_file: b"same \xe9", first.settings.tls_cert: b"the first's"}
    for path, content in contents.items():
        path.write_bytes(content)
        path.chmod(0o600)
    stream = shared(first)
    keys_file.write_bytes(b"old")
    keys_file.chmod(0o640)
    second.settings.tls_cert.write_bytes(b"the second's")
    assert pair.join(stream, second.toml, second.condor).replaced == [keys_file]
    assert (keys_file.read_bytes(), stat.S_IMODE(keys_file.stat().st_mode)) == (b"new", 0o640)
    assert (ca_file.read_bytes(), second.settings.tls_cert.read_bytes()) == (b"same \xe9", b"the second's")
    assert sorted(path.name for path in shared_root.iterdir() if path.is_file()) == [
        "ca.pem",
        "s3.toml",
        "tls.pem",
    ]


def test_what_either_hub_has_revoked_is_revoked_at_the_second(first: DiskHub, machine: Machine) -> None:
    second = machine(SECOND)
    joined(first, second)
    alone = {"pair": None}
    revoke_on_disk(first.settings.model_copy(update=alone), centre="north")
    revoke_on_disk(second.settings.model_copy(update=alone), jti="stolen")
    joined(first, second)
    standing = revocation.read(revocation.file_of(second.settings))
    assert (set(standing.centres), set(standing.jtis)) == ({"north"}, {"stolen"})


def test_a_hub_of_its_own_does_not_become_the_second(first: DiskHub, machine: Machine) -> None:
    second = machine(SECOND)
    (second.settings.state_dir / "keys").mkdir(parents=True)
    keys.create(second.settings.state_dir / "keys", "users")
    with pytest.raises(RefusedError, match="another key users here"):
        joined(first, second)
    assert [path.name for path in second.settings.state_dir.iterdir()] == ["keys"]


def test_keys_of_another_federation_are_refused(first: DiskHub, machine: Machine) -> None:
    second = machine(SECOND, trust_domain="other.example.org")
    with pytest.raises(
        RefusedError, match=r"The file is of hub\.example\.org in fallow\.example\.org, not of"
    ):
        joined(first, second)


def test_only_the_first_shares_and_only_the_second_joins(first: DiskHub, machine: Machine) -> None:
    with pytest.raises(RefusedError, match="is not the second of two hubs"):
        pair.join(shared(first), first.toml, first.condor)
    second = machine(SECOND)
    with pytest.raises(RefusedError, match="is not the first of two hubs"):
        pair.share(second.toml, second.settings, io.BytesIO())


def test_what_is_shared_is_no_backup(first: DiskHub, machine: Machine) -> None:
    stream = shared(first)
    fresh = DiskHub(first.root, first.settings)
    (first.settings.state_dir).rename(first.root / "away")
    with pytest.raises(RefusedError, match="The backup's database is none"):
        restore(stream, fresh.toml, fresh.condor)


def test_the_commands_carry_a_file_of_its_owner_alone(first: DiskHub, machine: Machine) -> None:
    second, file = machine(SECOND), first.root / "shared.tar.gz"
    options = ["--settings", str(first.toml)]
    assert CliRunner().invoke(command, ["share", "-o", str(file), *options]).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    options = ["--settings", str(second.toml), "--out", str(second.condor)]
    done = CliRunner().invoke(command, ["join", str(file), "--json", *options])
    assert done.exit_code == 0, done.output
    assert content(second) == content(first)
