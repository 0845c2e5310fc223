"""`fallow hub restore`: a backup becomes a hub, on a machine that has none."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fallow.errors import NotAvailableError, RefusedError
from fallow.settings import parse_text
from fallow_matcher import settings as hub_settings
from fallow_matcher.database import attach_database
from fallow_matcher.database.dump import kind, load
from fallow_matcher.database.upgrade import revision_of, revisions
from fallow_matcher.htcondor.configure import configure
from fallow_matcher.operation import archive
from fallow_matcher.operation.account import entry
from fallow_matcher.operation.backup import QUEUE
from fallow_matcher.operation.journals import with_gap
from fallow_matcher.settings import HubSettings

GAP = 1_000_000
"""Clusters of jobs that may have been submitted after the backup: their numbers are not given a second time."""


@dataclass(frozen=True)
class Restored:
    """What a restored hub is made of."""

    manifest: archive.Manifest
    settings: HubSettings
    kept: list[Path]
    """Files that were there already and stayed as they were."""


def restore(stream: BinaryIO, settings_path: Path, out: Path) -> Restored:
    """Make a hub of a backup; where anything fails, nothing of it stays in the state directory.

    A settings file that is there already counts in place of the backup's: another machine has another address. One of two
    hubs leaves the database as it is, for the other one has gone on with it.

    Raises:
        RefusedError: The backup is damaged or of another federation, a newer release wrote it, or there is a hub here.
        SettingsError: The settings do not hold together.
    """
    reader = archive.Reader(stream)
    text = reader.settings()
    if settings_path.exists():
        settings = hub_settings.read(settings_path)
    else:
        settings = parse_text(HubSettings, text, source="the backup's hub.toml")
    owner = entry(settings.account)
    _refuse_a_hub(settings)
    state = settings.state_dir
    state.mkdir(parents=True, exist_ok=True)
    try:
        staging = Path(tempfile.mkdtemp(dir=state, prefix=".restoring-"))
        manifest = reader.unpack(staging)
        _refuse_strangers(manifest, settings)
        for part in sorted((staging / archive.STATE).iterdir()):
            part.rename(state / part.name)
        if settings.pair is None:  # else the other hub goes on with it
            load(settings.database_url, staging / archive.DATABASE)
        _leave_a_gap(state / QUEUE)
        kept = place_files(staging / archive.FILES, owner.pw_uid, owner.pw_gid)
        if not settings_path.exists():
            settings_path.parent.mkdir(parents=True, exist_ok=True)
            settings_path.write_text(text, encoding="utf-8")
        shutil.rmtree(staging)
        _hand_over(state, owner.pw_uid, owner.pw_gid)
        configure(settings, out)
    except BaseException:
        for path in state.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    return Restored(manifest, settings, kept)


def _refuse_a_hub(settings: HubSettings) -> None:
    state = settings.state_dir
    if state.exists() and any(state.iterdir()):
        raise RefusedError(
            f"{state} is not empty: there is a hub already, or what is left of one.",
            remedy="A restored hub starts from nothing: stop that one and move its folder away.",
        )
    if kind(settings.database_url) == "sqlite" or settings.pair is not None:
        return
    engine = attach_database(settings.database_url)
    try:
        if revision_of(engine) is not None:
            raise RefusedError(
                "The database is not empty: it has a hub's tables.", remedy="Give the hub a new database."
            )
    finally:
        engine.dispose()


def _refuse_strangers(manifest: archive.Manifest, settings: HubSettings) -> None:
    if manifest.trust_domain != settings.trust_domain or manifest.host != settings.host:
        raise RefusedError(
            f"The backup is of {manifest.host} in {manifest.trust_domain}, the settings are for {settings.host} in "
            f"{settings.trust_domain}: its tokens, jobs and records would be another's.",
            remedy="Give the new machine the old one's name, and hub.toml its `host` and `trust_domain`.",
        )
    if manifest.database != kind(settings.database_url):
        raise RefusedError(
            f"The backup's database is {manifest.database}, that of the settings {kind(settings.database_url)}.",
            remedy="Name one of the same kind in `database`.",
        )
    if manifest.schema_revision and manifest.schema_revision not in (known := revisions()):
        raise RefusedError(
            f"The backup's database has schema {manifest.schema_revision}, which this release does not know (its "
            f"newest is {known[0]}).",
            remedy=f"Install release {manifest.release} of Fallow, or a newer one.",
        )


def _leave_a_gap(log: Path) -> None:
    if log.exists():
        text = log.read_bytes()
        with log.open("ab") as stream:
            stream.write(with_gap(text, GAP))


def place_files(files: Path, uid: int, gid: int) -> list[Path]:
    """Put certificates and keys where they were; those that are there already stay, and are returned."""
    kept = []
    for source in sorted(path for path in files.rglob("*") if path.is_file()) if files.exists() else ():
        target = Path("/") / source.relative_to(files)
        if target.exists():
            kept.append(target)
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            if os.geteuid() == 0:
                os.chown(target, uid, gid)
        except OSError as error:
            raise NotAvailableError(
                f"Cannot write {target}: {error.strerror}.", remedy="Run this as root."
            ) from error
    return kept


def _hand_over(state: Path, uid: int, gid: int) -> None:
    """Make all of it the account's, and its folders nobody else's."""
    for folder, folders, names in os.walk(state):
        for name in folders:
            (Path(folder) / name).chmod(0o700)
        for name in (*folders, *names) if os.geteuid() == 0 else ():
            os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)
