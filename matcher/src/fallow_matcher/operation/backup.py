"""`fallow hub backup`: everything that a hub cannot make anew, copied while it works.

Order matters. The database is copied before the queue, and the records of runs after it: a run or a job that the database
does not have yet is found there again, and nothing counts twice. The spool is walked before and after the queue's log is
copied, so that a job which ends meanwhile has its files.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from fallow import __version__
from fallow.files import write_private
from fallow_matcher.database import attach_database
from fallow_matcher.database.dump import dump, kind
from fallow_matcher.database.upgrade import revision_of
from fallow_matcher.operation import archive
from fallow_matcher.settings import HubSettings

LAST = "last-backup.json"
"""In the state directory: when the last backup was taken."""
QUEUE = Path("spool") / "job_queue.log"
NOT_KEPT = {"run", "log", "lock", "execute", "tokens", "nothing", "backups", LAST}
"""What a hub makes anew; and older backups."""
_OWN_PREFIX = ".backup-"

Stamp = tuple[int, int]


def backup(
    settings_path: Path, settings: HubSettings, stream: BinaryIO, clock: Callable[[], float] = time.time
) -> archive.Manifest:
    """Write a backup of the hub to `stream`; its last member.

    Raises:
        NotAvailableError: The database cannot be read.
        FallowError: A file cannot be copied.
    """
    began = clock()
    state = settings.state_dir
    writer = archive.Writer(stream)
    writer.text(archive.SETTINGS, settings_path.read_text(encoding="utf-8"))
    for path in named_files(settings):
        writer.file(f"{archive.FILES}/{str(path.absolute()).lstrip('/')}", path)
    seen: dict[Path, Stamp] = {}
    _walk(writer, state, state / "spool", seen)
    with tempfile.TemporaryDirectory(dir=state, prefix=_OWN_PREFIX) as scratch:
        copy = Path(scratch) / archive.DATABASE
        engine = attach_database(settings.database_url)
        try:
            revision = revision_of(engine) or ""
        finally:
            engine.dispose()
        dump(settings.database_url, copy)
        writer.file(archive.DATABASE, copy)
    queue_at = clock()
    writer.file(f"{archive.STATE}/{QUEUE}", state / QUEUE)
    _walk(writer, state, state, seen)
    manifest = archive.Manifest(
        format=archive.FORMAT,
        release=__version__,
        schema_revision=revision,
        database=kind(settings.database_url),
        trust_domain=settings.trust_domain,
        host=settings.host,
        began=began,
        ended=clock(),
        queue_at=queue_at,
        digests=writer.digests,
    )
    writer.close(manifest)
    write_private(state / LAST, manifest.model_dump_json(exclude={"digests"}))
    return manifest


def named_files(settings: HubSettings) -> list[Path]:
    """The files beside the state directory that the settings name and that exist: certificates, keys."""
    named = [settings.tls_cert, settings.tls_key, settings.storage.keys_file, settings.storage.ca_file]
    named += [issuer.ca_file for issuer in settings.issuers]
    return list(dict.fromkeys(path for path in named if path is not None and path.is_file()))


def _walk(writer: archive.Writer, state: Path, top: Path, seen: dict[Path, Stamp]) -> None:
    """Add the plain files below `top` that are new or changed since they were `seen`."""
    for path in _files(state, top):
        try:
            about = path.lstat()
        except FileNotFoundError:
            continue
        stamp = (about.st_mtime_ns, about.st_size)
        if not stat.S_ISREG(about.st_mode) or seen.get(path) == stamp:
            continue
        if writer.file(f"{archive.STATE}/{path.relative_to(state)}", path):
            seen[path] = stamp


def _files(state: Path, top: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(top):
        here = Path(folder)
        if here == state:
            folders[:] = [name for name in folders if _is_kept(name)]
        folders.sort()
        for name in sorted(names):
            if here == state and (not _is_kept(name) or name.startswith("fallow.sqlite")):
                continue
            if here == state / "spool" and (
                name == QUEUE.name or name.startswith(".") or name.endswith(".tmp")
            ):
                continue
            if name != "lock":
                yield here / name


def _is_kept(name: str) -> bool:
    """Whether what is called so in the state directory belongs into a backup."""
    return name not in NOT_KEPT and not name.startswith(".")
