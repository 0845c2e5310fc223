"""`fallow hub share` and `fallow hub join`: what two hubs of a federation have in common goes from the first to the second.

That is what proves who is who: signing keys, revocations, the keys to the store. Everything else is in their database.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fallow import __version__
from fallow.errors import RefusedError
from fallow_matcher import settings as hub_settings
from fallow_matcher.campaigns.tickets import Tickets
from fallow_matcher.gateway.webidentity import WebIdentity
from fallow_matcher.htcondor import keys, revocation
from fallow_matcher.htcondor.configure import configure, write
from fallow_matcher.operation import archive
from fallow_matcher.operation.account import entry
from fallow_matcher.operation.backup import named_files
from fallow_matcher.operation.restore import place_files
from fallow_matcher.settings import HubSettings

NO_DATABASE = "none"
"""What such a file says of a database: it is no backup that could be restored."""

SECRETS = (Path("campaigns/tickets.key"), Path("gateway/web-identity.pem"))
"""Keys beside those of HTCondor's tokens, in the state directory."""


def share(
    settings_path: Path, settings: HubSettings, stream: BinaryIO, clock: Callable[[], float] = time.time
) -> int:
    """Write to `stream` what makes another machine the second hub; how many files that are.

    Raises:
        RefusedError: This is not the first of two hubs.
    """
    if settings.pair is None or settings.is_second:
        raise RefusedError(
            f"{settings.host} is not the first of two hubs.",
            remedy="Name both hosts as `first` and `second` of [pair] in hub.toml, and share from the first.",
        )
    state = settings.state_dir
    Tickets(state).ensure()
    WebIdentity(settings).ensure()
    writer = archive.Writer(stream)
    writer.text(archive.SETTINGS, settings_path.read_text(encoding="utf-8"))
    for path in named_files(settings):
        if path not in (settings.tls_cert, settings.tls_key):
            writer.file(f"{archive.FILES}/{str(path.absolute()).lstrip('/')}", path)
    own = sorted(path for path in keys.directory(settings).iterdir() if path.is_file())
    for path in (*own, revocation.file_of(settings), *(state / secret for secret in SECRETS)):
        writer.file(f"{archive.STATE}/{path.relative_to(state)}", path)
    now = clock()
    manifest = archive.Manifest(
        format=archive.FORMAT,
        release=__version__,
        schema_revision="",
        database=NO_DATABASE,
        trust_domain=settings.trust_domain,
        host=settings.host,
        began=now,
        ended=now,
        queue_at=now,
        digests=writer.digests,
    )
    writer.close(manifest)
    return len(manifest.digests)


@dataclass(frozen=True)
class Joined:
    """What a second hub has from the first that it had not before."""

    new: list[Path]
    """Signing keys."""
    replaced: list[Path]
    """Files that were others here, as the keys to the store."""


def join(stream: BinaryIO, settings_path: Path, out: Path) -> Joined:
    """Take over what the first hub shares, once at the beginning and again after each change.

    Keys that the first hub has no more go; what either has revoked is revoked here. The settings, and the certificate and
    key that they name, are this hub's own and stay.

    Raises:
        RefusedError: This is not the second hub, the file is of another federation, or there are keys of another hub here.
        SettingsError: There are no settings yet, or they do not hold together.
    """
    reader = archive.Reader(stream)
    reader.settings()
    settings = hub_settings.read(settings_path)
    if settings.pair is None or not settings.is_second:
        raise RefusedError(
            f"{settings.host} is not the second of two hubs.",
            remedy="Name it as `second` of [pair] in hub.toml, which is the first hub's but for `host` and `listen`.",
        )
    owner = entry(settings.account)
    state = settings.state_dir
    state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=state, prefix=".joining-") as scratch:
        manifest = reader.unpack(Path(scratch))
        came = Path(scratch) / archive.STATE
        if manifest.trust_domain != settings.trust_domain or manifest.host != settings.pair.first:
            raise RefusedError(
                f"The file is of {manifest.host} in {manifest.trust_domain}, not of {settings.pair.first} in "
                f"{settings.trust_domain}.",
                remedy="Name one that `fallow hub share` wrote at the first hub.",
            )
        _refuse_other_keys(came, state)
        _add_revocations(came, settings, (owner.pw_uid, owner.pw_gid))
        new = list(_keys(came, state, (owner.pw_uid, owner.pw_gid)))
        replaced = list(_replaced(Path(scratch) / archive.FILES, settings))
        place_files(Path(scratch) / archive.FILES, owner.pw_uid, owner.pw_gid)
    for path in keys.directory(settings).iterdir():
        if f"{archive.STATE}/{path.relative_to(state)}" not in manifest.digests:
            path.unlink()
    configure(settings, out)
    return Joined(new, replaced)


def _refuse_other_keys(came: Path, state: Path) -> None:
    for path in sorted((came / "keys").iterdir()):
        here = state / "keys" / path.name
        if here.exists() and here.read_bytes() != path.read_bytes():
            raise RefusedError(
                f"There is another key {path.name} here: this was a hub of its own.",
                remedy=f"If it is none any more, move {state} away and join again.",
            )


def _add_revocations(came: Path, settings: HubSettings, owner: tuple[int, int]) -> None:
    theirs = revocation.read(came / revocation.file_of(settings).name)
    path = revocation.file_of(settings)
    ours = revocation.read(path) if path.exists() else revocation.Revoked()
    both = revocation.Revoked(centres=theirs.centres | ours.centres, jtis=theirs.jtis | ours.jtis)
    write(path, revocation.render(both, settings.trust_domain), 0o644, owner)


def _replaced(files: Path, settings: HubSettings) -> Iterator[Path]:
    """Give files that the settings name the first hub's content, with the mode and the owner that they have here."""
    for path in named_files(settings):
        source = files / str(path.absolute()).lstrip("/")
        if path in (settings.tls_cert, settings.tls_key) or not source.is_file():
            continue
        content, target = source.read_bytes(), path.resolve()
        if target.read_bytes() != content:
            about = target.stat()
            write(target, content, stat.S_IMODE(about.st_mode), (about.st_uid, about.st_gid))
            yield path


def _keys(came: Path, state: Path, owner: tuple[int, int]) -> Iterator[Path]:
    """Put keys in their places; those that were not there."""
    for name in (*(Path("keys") / path.name for path in sorted((came / "keys").iterdir())), *SECRETS):
        target = state / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not target.exists():
            yield target
        shutil.move(came / name, target)
        target.chmod(0o600)
        for path in (target.parent, target) if os.geteuid() == 0 else ():
            os.chown(path, *owner)
