"""`fallow hub configure`: what HTCondor needs on the hub, written to disk. Running it again changes only
what must change.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow.rules import default_text, parse_rules
from fallow_matcher.htcondor import groups, keys, render, revocation, work_types
from fallow_matcher.htcondor.idtokens import DAEMON_RIGHTS, Mint
from fallow_matcher.identities import daemon_identity
from fallow_matcher.operation import account
from fallow_matcher.settings import HubSettings

FOLDERS = ("keys", "tokens", "run", "log", "lock", "spool", "execute", "nothing", "gateway", "matching")
DAEMON_TOKEN = "hub"  # noqa: S105 - a file name


@dataclass(frozen=True)
class Written:
    """What one run wrote."""

    files: list[Path]
    new_keys: list[str]


def configure(settings: HubSettings, out: Path) -> Written:
    """Write configuration, missing folders, missing signing keys and a fresh token for the hub's daemons.

    Run as root, everything is handed to the settings' account; run as that account, it is its own already.

    Raises:
        NotAvailableError: The account does not exist.
        SettingsError: A key is readable by others.
    """
    owner = _account(settings.account)
    _folder(settings.state_dir, 0o755, owner)
    for name in FOLDERS:
        _folder(settings.state_dir / name, 0o700, owner)
    _folder(out, 0o755, None)
    made = keys.ensure(settings)
    for key_id in made:
        _give(keys.directory(settings) / key_id, owner)
    config = out / "condor_config"
    write(config, render.hub_config(settings, out), 0o644, None)
    revoked = revocation.file_of(settings)
    standing = revocation.read(revoked) if revoked.exists() else revocation.Revoked()
    write(revoked, revocation.render(standing, settings.trust_domain), 0o644, owner)
    matching = groups.file_of(settings)
    if not matching.exists():
        write(matching, groups.render(settings.centre_names, {}, home_first=True), 0o644, owner)
    types = work_types.file_of(settings)
    if not types.exists():  # the matcher keeps it in step with the rules in force
        write(types, work_types.render(parse_rules(default_text())), 0o644, owner)
    return Written(files=[config, revoked, matching, types, renew_daemon_token(settings)], new_keys=made)


def rotate_key(settings: HubSettings, role: str) -> str:
    """Make the next key of a role; a new key of the hub itself comes with a new token for its daemons.

    Raises:
        SettingsError: There is no such role.
    """
    key_id = keys.rotate(keys.directory(settings), role)
    _give(keys.directory(settings) / key_id, _account(settings.account))
    if role == keys.DAEMON_KEY:
        renew_daemon_token(settings)
    return key_id


def renew_daemon_token(settings: HubSettings) -> Path:
    """Write a fresh token for the hub's own daemons; the path of its file."""
    now = int(time.time())
    minted = Mint(settings.trust_domain, keys.directory(settings)).mint(
        keys.DAEMON_KEY,
        daemon_identity(settings.trust_domain),
        DAEMON_RIGHTS,
        now=now,
        expires=now + settings.lives.daemon_token_s,
    )
    path = settings.state_dir / "tokens" / DAEMON_TOKEN
    write(path, minted.token + "\n", 0o600, _account(settings.account))
    return path


def write(path: Path, content: str | bytes, mode: int, owner: tuple[int, int] | None) -> None:
    """Replace a file whole, or not at all; `owner` is used only by root.

    Raises:
        NotAvailableError: This user may not write there.
    """
    try:
        _replace(path, content.encode() if isinstance(content, str) else content, mode, owner)
    except OSError as error:
        raise NotAvailableError(
            f"Cannot write {path}: {error.strerror}.", remedy="Run this as root or as the hub's account."
        ) from error


def _replace(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary = Path(name)
        temporary.chmod(mode)
        _give(temporary, owner)
        temporary.replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _folder(path: Path, mode: int, owner: tuple[int, int] | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    _give(path, owner)


def _give(path: Path, owner: tuple[int, int] | None) -> None:
    if owner is not None and os.geteuid() == 0:
        os.chown(path, *owner)


def _account(name: str) -> tuple[int, int]:
    found = account.entry(name)
    return found.pw_uid, found.pw_gid
