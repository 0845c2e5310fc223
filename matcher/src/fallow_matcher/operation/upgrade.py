"""`fallow hub upgrade`: what a newer release needs of a hub that an older one has run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import NotAvailableError, RefusedError
from fallow.files import private_directory
from fallow_matcher.database import attach_database, open_database
from fallow_matcher.database.upgrade import revision_of, revisions
from fallow_matcher.htcondor import effective
from fallow_matcher.htcondor.configure import configure
from fallow_matcher.operation import parts, units
from fallow_matcher.operation.backup import backup
from fallow_matcher.settings import HubSettings

BACKUPS = "backups"
"""In the state directory: what was there before each upgrade."""


@dataclass(frozen=True)
class Upgraded:
    """What was done to the hub's records."""

    before: str
    after: str
    backup: Path | None
    """Where the state before it lies; None where there was nothing to change."""


def upgrade_records(settings_path: Path, settings: HubSettings) -> Upgraded:
    """Bring the database to this release's schema, after a backup of the whole hub.

    Raises:
        RefusedError: A newer release has run this hub.
        NotAvailableError: The database cannot be used, or there is no room for the backup.
    """
    known = revisions()
    engine = attach_database(settings.database_url)
    try:
        before = revision_of(engine) or ""
    finally:
        engine.dispose()
    if before and before not in known:
        raise RefusedError(
            f"The database has schema {before}, which this release does not know (its newest is {known[0]}).",
            remedy="Install the release of Fallow that wrote it, or a newer one.",
        )
    if before == known[0]:
        return Upgraded(before, before, None)
    folder = private_directory(settings.state_dir / BACKUPS)
    path = folder / time.strftime(f"before-{known[0]}-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        backup(settings_path, settings, stream)
        stream.flush()
        os.fsync(descriptor)
    open_database(settings.database_url).dispose()
    return Upgraded(before, known[0], path)


def take_effect(settings_path: Path, settings: HubSettings, out: Path) -> list[dict[str, str]]:
    """Write the configuration anew and have the hub's parts go by it; what was done, and what is left to do, in rows.

    Raises:
        NotAvailableError: Something cannot be written, or systemd does not restart a part.
    """
    configure(settings, out)
    rows = [{"what": "configuration", "how": "written anew"}]
    every = parts.every(settings_path, out)
    systemd = units.RUNNING.is_dir() and (units.FOLDER / units.TARGET).exists()
    if systemd:
        units.write_units(every, settings, units.FOLDER)
        units.systemctl("daemon-reload")
    try:
        effective.reconfigure(out / "condor_config", settings.account)
        rows.append({"what": "condor", "how": "has read its configuration; jobs run on"})
    except NotAvailableError as error:
        rows.append(
            {"what": "condor", "how": f"not told: {error.what} It reads its configuration as it starts."}
        )
    for part in every:
        if part.name == "condor":
            continue
        if systemd:
            units.systemctl("try-restart", units.service(part.name))
        rows.append(
            {"what": part.name, "how": "restarted" if systemd else "restart it, as it is the old release's"}
        )
    return rows
