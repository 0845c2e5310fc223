"""systemd's own word on the units, and what they start."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.matcher.operation.conftest import DiskHub

from fallow.errors import NotAvailableError, UsageError
from fallow_matcher.cli import hub
from fallow_matcher.operation import parts, units
from fallow_matcher.settings import HubSettings


def every(tmp_path: Path) -> list[parts.Part]:
    return parts.every(tmp_path / "hub.toml", tmp_path / "condor")


def test_systemd_finds_nothing_wrong_with_the_units(settings: HubSettings, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing. Install it: apt-get install systemd"
    there = [
        parts.Part(
            part.name, part.does, ("/bin/true", *part.argv[1:]), part.environment, reloads=part.reloads
        )
        for part in every(tmp_path)
    ]  # what a unit starts must exist, and HTCondor is not on every machine that tests
    written = units.write_units(there, settings, tmp_path)
    done = subprocess.run([analyze, "verify", *written], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "fallow" in line]
    assert ours == []
    assert done.returncode == 0


def test_the_target_wants_every_part_and_each_runs_as_the_hubs_account(
    settings: HubSettings, tmp_path: Path
) -> None:
    texts = units.render(every(tmp_path), settings)
    for part in every(tmp_path):
        assert units.service(part.name) in texts[units.TARGET]
        assert f"User={settings.account}\n" in texts[units.service(part.name)]
        assert f'"{part.argv[0]}"' in texts[units.service(part.name)]


def test_only_parts_that_can_are_reloaded(settings: HubSettings, tmp_path: Path) -> None:
    texts = units.render(every(tmp_path), settings)
    reloaded = {part.name for part in every(tmp_path) if "ExecReload" in texts[units.service(part.name)]}
    assert reloaded == {"condor", "gateway"}


def test_a_port_below_1024_comes_with_the_right_to_it(
    raw: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    low = HubSettings.model_validate(raw(ports={"gateway": 443}))
    assert "CAP_NET_BIND_SERVICE" in units.render(every(tmp_path), low)[units.service("gateway")]


def test_parts_are_chosen_by_name(tmp_path: Path) -> None:
    assert [part.name for part in parts.chosen(every(tmp_path), ("matcher", "condor"))] == [
        "matcher",
        "condor",
    ]
    with pytest.raises(UsageError, match="no part 'mather'"):
        parts.chosen(every(tmp_path), ("mather",))


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` that notes what it was asked for, and fails where the file `broken` is beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/asked\ntest ! -e {folder}/broken || {{ echo "no such unit" >&2; exit 5; }}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_up_enables_and_starts_the_target_or_the_parts_that_are_named(
    machine: Callable[..., DiskHub], systemctl: Path
) -> None:
    argv = ["up", "--settings", str(machine().toml)]
    CliRunner().invoke(hub, argv, catch_exceptions=False)
    CliRunner().invoke(hub, [*argv, "matcher", "gateway"], catch_exceptions=False)
    assert (systemctl / "asked").read_text().splitlines() == [
        "enable --now fallow-hub.target",
        "enable --now fallow-hub-matcher.service fallow-hub-gateway.service",
    ]


def test_what_systemd_says_is_told(machine: Callable[..., DiskHub], systemctl: Path) -> None:
    (systemctl / "broken").touch()
    with pytest.raises(NotAvailableError, match=r"systemctl enable --now .* failed: no such unit"):
        CliRunner().invoke(hub, ["up", "--settings", str(machine().toml)], catch_exceptions=False)


def test_without_systemd_the_way_without_it_is_named(
    machine: Callable[..., DiskHub], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailableError, match="up --foreground"):
        CliRunner().invoke(hub, ["up", "--settings", str(machine().toml)], catch_exceptions=False)
