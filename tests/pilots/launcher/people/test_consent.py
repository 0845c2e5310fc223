"""Consent: the person's command, its file, and what the admin sees of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.pilots.launcher.people.conftest import HUB, consents

from fallow.errors import SettingsError
from fallow_pilots.accounts.consent import own_account, read_consent
from fallow_pilots.cli import pilot

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import FakeSlurm, TestCentre


def test_a_consent_that_others_could_have_written_does_not_count(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    path = homes / "ann" / ".config" / "fallow" / "consent" / "alder.json"
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 0644"):
        read_consent(homes / "ann", "alder")
    assert "mode 0644" in lent.launcher.look().closed["ann"]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `fallow pilot consent` for whoever runs the test, at a centre that names this account."""
    monkeypatch.setenv("HOME", str(tmp_path))
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'state_dir = "{tmp_path}/state"\n[identity]\ncentre = "alder"\nhub = "{HUB}"\n'
        'token_file = "/etc/fallow/token"\n[pilot]\ncores = 4\nmemory_mb = 2000\n[limits]\nmax_pilots = 1\n'
        '[accounts]\nbecome = ["sudo", "-u", "{account}"]\n'
        f'[[accounts.people]]\naccount = "{own_account()}"\n'
    )
    return lambda *argv: CliRunner().invoke(pilot, ["consent", "--policy", str(policy), *argv])


def test_a_person_consents_looks_and_revokes(
    tmp_path: Path, slurm: FakeSlurm, mine: Callable[..., Any]
) -> None:
    assert "has never consented" in str(mine("--show").exception)
    said = mine("--project", "proteins").output
    assert f"may run under your account {own_account()}" in said
    assert "of these only those of proteins" in said
    assert json.loads(mine("--show", "--json").output)["serves"] == {"projects": ["proteins"]}
    assert mine("--revoke").output.startswith("0 pilots of yours were asked to leave now")
    assert "Revoked at" in mine("--show").output
    policy = tmp_path / "policy.toml"
    policy.write_text(policy.read_text().replace(f'account = "{own_account()}"', 'account = "somebody"'))
    assert f"does not name {own_account()}" in str(mine().exception)


def test_who_consents_again_keeps_the_directory_and_moves_it_only_where_no_pilot_uses_it(
    tmp_path: Path, slurm: FakeSlurm, mine: Callable[..., Any]
) -> None:
    mine("--directory", str(tmp_path / "first"))
    assert f"Their files lie in {tmp_path}/first." in mine("--project", "proteins").output
    slurm.set(jobs={"7": {"name": "fallow-alder-7", "state": "RUNNING", "node": "n1", "cores": 1}})
    moved = mine("--directory", str(tmp_path / "second"))
    assert f"alder-7 of yours keep their files in {tmp_path}/first." in str(moved.exception)
    assert f"lie in {tmp_path}/first." in mine("--show").output
    assert f"lie in {tmp_path}/first." in mine("--directory", str(tmp_path / "first")).output
    slurm.set(jobs={})
    assert f"lie in {tmp_path}/second." in mine("--directory", str(tmp_path / "second")).output


def test_the_admin_sees_who_lends_an_account(
    lent: TestCentre, homes: Path, tmp_path: Path, accounts: dict[str, Any]
) -> None:
    consents(lent, homes, "ann")
    lent.launcher.cycle(60)
    policy = tmp_path / "policy.toml"
    named = "".join(
        "[[accounts.people]]\n" + "".join(f'{name} = "{value}"\n' for name, value in person.items())
        for person in accounts["people"]
    )
    policy.write_text(
        f'state_dir = "{lent.policy.state_dir}"\n[identity]\ncentre = "alder"\nhub = "{HUB}"\n'
        'token_file = "/etc/fallow/token"\n[pilot]\ncores = 4\nmemory_mb = 2000\n[limits]\nmax_pilots = 10\n'
        f"[accounts]\nbecome = {json.dumps(accounts['become'])}\n{named}"
    )
    done = CliRunner().invoke(pilot, ["accounts", "--policy", str(policy), "--json"])
    rows = {row["account"]: row for row in json.loads(done.output)}
    assert (rows["ann"]["pilots"], rows["ann"]["batch_account"], rows["ann"]["takes_no_more"]) == (
        3,
        "proteins",
        None,
    )
    assert rows["ben"]["takes_no_more"] == "ben has not consented: `fallow pilot consent`."
    unit = CliRunner().invoke(pilot, ["unit", "--policy", str(policy)]).output
    assert "NoNewPrivileges" not in unit, "sudo could not do anything"
    log = CliRunner().invoke(pilot, ["log", "alder-1", "--policy", str(policy)])
    assert "alder-1 is a pilot of ann's" in str(log.exception)
