"""Signing keys of HTCondor tokens: one per centre for its pilots, one for users, one for the hub's daemons.

A key is a file in the state directory's `keys/` in HTCondor's own format, mode 0600. It never leaves the hub, and no key is
ever overwritten: rotation makes a new one beside the old.
"""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from fallow.errors import SettingsError
from fallow_matcher.settings import HubSettings, require_private

DAEMON_KEY = "hub"
USER_KEY = "users"
_MASK = bytes.fromhex("deadbeef")
_GENERATION = re.compile(r"(?P<role>.+?)(?:\.(?P<generation>[0-9]+))?")


def pilot_key(centre: str) -> str:
    """The role of the key that signs the tokens of a centre's pilots."""
    return f"pilot-{centre}"


def roles(settings: HubSettings) -> list[str]:
    """Every role that needs a key."""
    return [DAEMON_KEY, USER_KEY, *(pilot_key(centre) for centre in settings.centre_names)]


def directory(settings: HubSettings) -> Path:
    """Where the keys are."""
    return settings.state_dir / "keys"


def ids(settings: HubSettings) -> list[str]:
    """The ids of all keys, sorted: HTCondor takes a token that any of them has signed."""
    return sorted(path.name for path in directory(settings).iterdir())


def _scramble(key: bytes) -> bytes:
    return bytes(byte ^ mask for byte, mask in zip(key, cycle(_MASK)))


def create(folder: Path, key_id: str) -> Path:
    """Make one new key of 256 random bits.

    Raises:
        FileExistsError: There is such a key already; it stays as it was.
    """
    path = folder / key_id
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        # Hexadecimal text: HTCondor reads some key files only up to their first NUL byte.
        stream.write(_scramble(secrets.token_hex(32).encode()))
    return path


def generations(folder: Path, role: str) -> list[str]:
    """The ids of the keys of one role, oldest first: `users`, `users.2`, `users.3`…"""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _GENERATION.fullmatch(path.name)
        if match and match["role"] == role:
            found.append((int(match["generation"] or 1), path.name))
    return [name for _, name in sorted(found)]


def newest(folder: Path, role: str) -> str:
    """The id of the key that signs for a role now.

    Raises:
        SettingsError: There is none.
    """
    ids = generations(folder, role)
    if not ids:
        raise SettingsError(
            f"There is no signing key {role!r} in {folder}.", remedy="Run: fallow hub configure"
        )
    return ids[-1]


def ensure(settings: HubSettings) -> list[str]:
    """Make the keys that are missing; the ids of those that were made.

    Raises:
        SettingsError: Keys are missing at the second of two hubs, which has those of the first.
    """
    folder = directory(settings)
    made = [role for role in roles(settings) if not generations(folder, role)]
    if made and settings.is_second:
        raise SettingsError(
            f"The second hub lacks the first one's keys {', '.join(made)}.",
            remedy="Run `fallow hub share` at the first hub, and `fallow hub join` here.",
        )
    for role in made:
        create(folder, role)
    return made


def rotate(folder: Path, role: str) -> str:
    """Make the next key of a role, which signs from now on; tokens of the older ones stay good until they end."""
    match = _GENERATION.fullmatch(newest(folder, role))
    generation = int(match["generation"] or 1) if match else 1
    key_id = f"{role}.{generation + 1}"
    create(folder, key_id)
    return key_id


def load(folder: Path, key_id: str) -> bytes:
    """The key's secret bytes.

    Raises:
        SettingsError: The key is missing or readable by others.
    """
    path = folder / key_id
    require_private(path, "state_dir")
    return _scramble(path.read_bytes())


def retire(settings: HubSettings, role: str) -> list[str]:
    """Remove all keys of a role but the newest; the ids of those that are gone, whose tokens are worth nothing now.

    Raises:
        SettingsError: There is no such role.
    """
    newest(directory(settings), role)
    old = generations(directory(settings), role)[:-1]
    for key_id in old:
        (directory(settings) / key_id).unlink()
    return old


def listing(settings: HubSettings) -> list[dict[str, object]]:
    """Every key as a row: role, id, moment of creation (UTC), and whether it signs now."""
    rows: list[dict[str, object]] = []
    for role in roles(settings):
        ids = generations(directory(settings), role)
        for key_id in ids:
            created = datetime.fromtimestamp((directory(settings) / key_id).stat().st_mtime, UTC)
            row = {"role": role, "key": key_id, "created": created.isoformat(timespec="seconds")}
            rows.append({**row, "signs": key_id == ids[-1]})
    return rows
