"""A centre's cache of inputs that many jobs share: one file for each content, fetched once, compared whenever it is used."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable

from fallow.files import private_directory
from fallow.storage.failures import StagingError, Trouble, by_system
from fallow.storage.grants import StagedFile
from fallow.storage.objects import CHUNK_BYTES

log = logging.getLogger(__name__)


class InputCache:
    """Inputs by bucket, key and ETag.

    A file's name says what is in it, and it is copied out, never linked: what a job does to its copy is its own affair.
    A process that dies leaves at most a part, with which the next one goes on. Nobody is given anything from here whom the
    hub has not granted that very content.

    Args:
        folder: On a file system that the centre's nodes share; nobody else may look into it.
        most_bytes: What is kept at most; what was used longest ago goes first.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def copy(self, file: StagedFile, path: Path, fetch: Callable[[Path], str]) -> bool:
        """Have the input at `path`; whether it was here already.

        Args:
            file: The input, as granted.
            path: Where it is wanted.
            fetch: Fetches it to a path; returns its SHA-256.

        Raises:
            StagingError: It cannot be had.
        """
        name = file.content_name[:40]
        try:
            private_directory(self._folder)
            with self._locked(name):
                for found in self._folder.glob(f"{name}-*"):
                    if _copied(found, path):
                        return True
                    log.error("an input in the cache is damaged and is fetched again: %s", file.url)
                    found.unlink(missing_ok=True)
                draft = self._folder / name
                digest = fetch(draft)
                kept = draft.replace(self._folder / f"{name}-{digest}")
                if not _copied(kept, path):
                    raise StagingError(Trouble.CORRUPT, f"{file.url} changed in the cache.")
                self._evict(kept)
        except OSError as error:
            raise StagingError(
                by_system(error), f"The cache of inputs cannot be used: {error.strerror}."
            ) from error
        return False

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the lock of a content, which the kernel frees when its holder dies, however it dies."""
        descriptor = os.open(self._folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # a file system without locks: then it may be fetched twice, and is right
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _evict(self, newest: Path) -> None:
        """Remove what was used longest ago until the rest fits."""
        kept = []
        for path in self._folder.glob("[0-9a-f]*-*"):
            with suppress(FileNotFoundError):
                about = path.stat()
                kept.append((about.st_mtime, about.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._most_bytes:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size


def _copied(source: Path, path: Path) -> bool:
    """Copy an input out and compare it with the digest in its name; marks it as used."""
    seen = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as target, source.open("rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            seen.update(chunk)
            target.write(chunk)
    if seen.hexdigest() != source.name.rpartition("-")[2]:
        path.unlink()
        return False
    os.utime(source)
    return True
