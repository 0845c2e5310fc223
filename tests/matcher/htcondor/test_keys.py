"""Signing keys: one per role, private, never overwritten."""

from __future__ import annotations

import stat

import pytest

from fallow.errors import SettingsError
from fallow_matcher.htcondor import configure, keys
from fallow_matcher.settings import HubSettings


def test_every_role_gets_a_key_of_its_own(configured: HubSettings) -> None:
    folder = keys.directory(configured)
    secrets = {keys.load(folder, role) for role in ("hub", "users", "pilot-north", "pilot-south")}
    assert len(secrets) == 4
    assert all(len(secret) == 64 for secret in secrets)


def test_keys_are_readable_by_the_account_alone(configured: HubSettings) -> None:
    folder = keys.directory(configured)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_configuring_again_keeps_every_key(configured: HubSettings) -> None:
    folder = keys.directory(configured)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    written = configure.configure(configured, configured.state_dir.parent / "condor")
    assert written.new_keys == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_rotation_signs_with_the_new_key_and_keeps_the_old(configured: HubSettings) -> None:
    folder = keys.directory(configured)
    old = keys.load(folder, "users")
    assert configure.rotate_key(configured, "users") == "users.2"
    assert keys.newest(folder, "users") == "users.2"
    assert keys.load(folder, "users") == old


def test_the_tenth_generation_is_newer_than_the_ninth(configured: HubSettings) -> None:
    for _ in range(9):
        newest = configure.rotate_key(configured, "pilot-north")
    assert newest == "pilot-north.10"
    assert keys.newest(keys.directory(configured), "pilot-north") == "pilot-north.10"


def test_retiring_removes_all_but_the_newest_key(configured: HubSettings) -> None:
    configure.rotate_key(configured, "users")
    assert keys.retire(configured, "users") == ["users"]
    assert keys.generations(keys.directory(configured), "users") == ["users.2"]


def test_rotating_an_unknown_role_is_refused(configured: HubSettings) -> None:
    with pytest.raises(SettingsError, match="no signing key 'pilot-east'"):
        configure.rotate_key(configured, "pilot-east")


def test_a_key_that_others_may_read_is_not_used(configured: HubSettings) -> None:
    path = keys.directory(configured) / "users"
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        keys.load(keys.directory(configured), "users")
