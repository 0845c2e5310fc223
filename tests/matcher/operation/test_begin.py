"""The first settings of a hub, and what `init` makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.matcher.operation.conftest import DiskHub

from fallow.errors import UsageError
from fallow.settings import parse_text
from fallow_matcher.cli import hub as command
from fallow_matcher.htcondor import configure as configuring
from fallow_matcher.operation.begin import first_settings
from fallow_matcher.settings import HubSettings

GIVEN = {
    "name": 'The "Example" federation',
    "host": "hub.example.org",
    "listen": "192.0.2.10",
    "endpoint": "https://s3.example.org",
    "issuer": "https://iam.example.org/",
}


def test_the_first_settings_hold_together() -> None:
    text = first_settings(GIVEN, ["north=launcher-of-north", "south=launcher=of=south"])
    settings = parse_text(HubSettings, text, source="hub.toml")
    assert settings.name == GIVEN["name"]
    assert settings.trust_domain == settings.host
    assert settings.audiences == [settings.page_url]
    assert [(centre.name, centre.launcher_sub) for centre in settings.centres] == [
        ("north", "launcher-of-north"),
        ("south", "launcher=of=south"),
    ]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="--listen, --issuer, --centre is missing"):
        first_settings({**GIVEN, "listen": "", "issuer": ""}, [])
    with pytest.raises(UsageError, match="'north' is no centre"):
        first_settings(GIVEN, ["north"])


def test_init_writes_everything_and_again_loses_nothing(
    machine: Callable[..., DiskHub], tmp_path: Path
) -> None:
    hub = machine()
    units = tmp_path / "units"
    units.mkdir()
    argv = ["init", "--settings", str(hub.toml), "--out", str(hub.condor), "--units", str(units), "--json"]
    rows = json.loads(CliRunner().invoke(command, argv, catch_exceptions=False).output)
    assert {"kind": "new signing key", "name": "users"} in rows
    assert len(list(units.iterdir())) == 5
    key = hub.settings.state_dir / "keys" / "users"
    before = key.read_bytes()
    again = json.loads(CliRunner().invoke(command, argv, catch_exceptions=False).output)
    assert [row for row in again if row["kind"] == "new signing key"] == []
    assert key.read_bytes() == before


def test_init_writes_settings_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first settings name the machine's own folders and account, which are not a test's to change.
    monkeypatch.setattr(configuring, "configure", lambda settings, out: configuring.Written([], []))
    toml = tmp_path / "etc" / "hub.toml"
    units = tmp_path / "units"
    units.mkdir()
    argv = ["init", "--settings", str(toml), "--out", str(tmp_path / "condor"), "--units", str(units)]
    argv += [
        "--centre",
        "north=sub",
        *(word for name, value in GIVEN.items() for word in (f"--{name}", value)),
    ]
    assert str(toml) in CliRunner().invoke(command, argv, catch_exceptions=False).output.replace("\n", "")
    settings = parse_text(HubSettings, toml.read_text(), source="hub.toml")
    assert settings.listen == GIVEN["listen"]


@pytest.mark.parametrize("whom", [[], ["1.0", "--owner", "north.ann"]])
def test_jobs_are_named_by_id_or_by_their_owner(machine: Callable[..., DiskHub], whom: list[str]) -> None:
    argv = ["jobs", "hold", *whom, "--why", "a test", "--settings", str(machine().toml)]
    with pytest.raises(UsageError, match="jobs or one owner"):
        CliRunner().invoke(command, argv, catch_exceptions=False)
