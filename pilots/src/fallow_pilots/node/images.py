"""The centre's image store: one file per digest, shared by its nodes, never wrong and never half-written under its name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NoReturn

from fallow.errors import NotAvailableError, RefusedError
from fallow.files import sha256_of

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
MAX_IMAGE_BYTES = 64 << 30
RESERVE_BYTES = 1 << 30
"""What a download leaves free in the store's file system."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """An image at the hub: its announced size and its bytes, in order."""

    size_bytes: int
    chunks: Iterable[bytes]


Opener = Callable[[str], "AbstractContextManager[Source]"]
"""Opens the image of a digest (64 hexadecimal digits) at the hub."""


class ImageStore:
    """Images by digest in one directory.

    What lies under an image's name had that digest when it was put there; everything else has a dotted name. A process that
    dies at any point leaves at most a dotted file, which the next one removes.

    Args:
        directory: On a file system that all nodes of the centre share.
        opener: Opens an image at the hub.
        reserve_bytes: What a download must leave free.
    """

    def __init__(self, directory: Path, opener: Opener, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._directory = directory
        self._opener = opener
        self._reserve_bytes = reserve_bytes

    def path(self, digest: str) -> Path:
        """Where the image of `digest` lies or would lie.

        Raises:
            RefusedError: `digest` is not 64 lower-case hexadecimal digits.
        """
        if not _DIGEST.fullmatch(digest):
            raise RefusedError(f"{digest!r} is no SHA-256 digest.")
        return self._directory / f"sha256-{digest}.sif"

    def ensure(self, digest: str) -> Path:
        """Have the image of `digest` in the store, checked now; fetch it if it is missing or damaged.

        Raises:
            NotAvailableError: The hub, the space or the directory is not there.
            RefusedError: The hub has no such image, or sent something else.
        """
        path = self.path(digest)
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._locked(digest):
                if not self._sound(path, digest):
                    self._fetch(digest, path)
        except OSError as error:
            raise NotAvailableError(
                f"The image store {self._directory} cannot be used: {error.strerror or error}.",
                remedy="It must be a directory that the pilots' user may write to, on every node.",
                retryable=True,
            ) from error
        return path

    def _sound(self, path: Path, digest: str) -> bool:
        if not path.exists():
            return False
        if sha256_of(path) == digest:
            return True
        log.error("%s does not have its digest and is fetched again", path)
        path.unlink()
        return False

    def _fetch(self, digest: str, path: Path) -> None:
        with self._opener(digest) as source:
            self._admit(source.size_bytes)
            descriptor, name = tempfile.mkstemp(prefix=f".{digest}.", suffix=".part", dir=self._directory)
            part = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    _copy(source, digest, stream.write)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.chmod(0o444)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        self._sync_directory()
        log.info("image sha256:%s fetched, %d bytes", digest, source.size_bytes)

    def _admit(self, size_bytes: int) -> None:
        if size_bytes > MAX_IMAGE_BYTES:
            raise RefusedError(f"The image has {size_bytes} bytes; at most {MAX_IMAGE_BYTES} are taken.")
        free = os.statvfs(self._directory)
        free_bytes = free.f_bavail * free.f_frsize
        if size_bytes + self._reserve_bytes > free_bytes:
            raise NotAvailableError(
                f"The image has {size_bytes} bytes, but {self._directory} has {free_bytes} free "
                f"and keeps {self._reserve_bytes}.",
                remedy="Remove images that are no longer used, or name a larger store.",
                retryable=True,
            )

    @contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        """Hold the digest's lock, which the kernel frees when its holder dies, however it dies."""
        descriptor = os.open(
            self._directory / f".{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            if _lock(descriptor):
                for stale in self._directory.glob(f".{digest}.*.part"):
                    stale.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(path: Path) -> str:
    """What tells an unchanged image from another one without reading it: inode, size and time of change.

    The launcher script compares it with `stat -c '%i %s %Y'`.
    """
    status = path.stat()
    return f"{status.st_ino} {status.st_size} {int(status.st_mtime)}"


def _copy(source: Source, digest: str, write: Callable[[bytes], object]) -> None:
    seen = hashlib.sha256()
    count = 0
    for chunk in source.chunks:
        count += len(chunk)
        if count > source.size_bytes:
            _wrong(digest, f"more than the announced {source.size_bytes} bytes came")
        seen.update(chunk)
        write(chunk)
    if count != source.size_bytes:
        _wrong(digest, f"{count} of {source.size_bytes} bytes came", retryable=True)
    if seen.hexdigest() != digest:
        _wrong(digest, f"what came has the digest sha256:{seen.hexdigest()}")


def _wrong(digest: str, why: str, *, retryable: bool = False) -> NoReturn:
    raise RefusedError(f"The image sha256:{digest} was not stored: {why}.", retryable=retryable)


def _lock(descriptor: int) -> bool:
    """Take the lock; False where the file system has none: then only the atomic rename protects, which is enough."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
            log.warning("the image store's file system has no locks; an image may be fetched twice")
            return False
        raise
    return True
