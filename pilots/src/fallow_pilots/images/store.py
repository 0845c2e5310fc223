"""The centre's image store: one file per digest, shared by its nodes, never wrong and never half-written under its name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NoReturn

from fallow.errors import NotAvailableError, RefusedError
from fallow.files import sha256_of
from fallow_pilots.images.lease import lease, lease_if_free
from fallow_pilots.images.marks import Marks
from fallow_pilots.images.room import Kept, Room, victims

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
MAX_IMAGE_BYTES = 64 << 30
RESERVE_BYTES = 1 << 30
"""What a download leaves free in the store's file system."""
PATIENCE_S = 20.0
PRESS_S = 1.0
DEAD_PART_S = 600.0
"""A half-fetched image that has not grown for so long is nobody's."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"sha256-([0-9a-f]{64})\.sif")
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


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
    dies at any point leaves dotted files only, which others remove. One at a time works on an image: it fetches it, removes
    it or marks it as used, so that an image that somebody has marked is not removed.

    Args:
        directory: On a file system that all hosts of the centre share.
        opener: Opens an image at the hub.
        quota_bytes: What all images together may have; None: what the file system has.
        reserve_bytes: What a download must leave free there.
        patience_s: How long a pilot waits for others to let go of images.
    """

    def __init__(
        self,
        directory: Path,
        opener: Opener,
        *,
        quota_bytes: int | None = None,
        reserve_bytes: int = RESERVE_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._directory = directory
        self._opener = opener
        self._quota_bytes = quota_bytes
        self._reserve_bytes = reserve_bytes
        self._patience_s = patience_s
        self.marks = Marks(directory)

    def path(self, digest: str) -> Path:
        """Where the image of `digest` lies or would lie.

        Raises:
            RefusedError: `digest` is not 64 lower-case hexadecimal digits.
        """
        if not _DIGEST.fullmatch(digest):
            raise RefusedError(f"{digest!r} is no SHA-256 digest.")
        return self._directory / f"sha256-{digest}.sif"

    def ensure(self, digest: str, user: str) -> Path:
        """Have the image of `digest` in the store, checked now and marked as used; fetch it if it is missing or damaged.

        Args:
            digest: The image.
            user: The pilot that is going to use it; it has to keep the mark fresh.

        Raises:
            NotAvailableError: The hub, the space or the directory is not there.
            RefusedError: The hub has no such image, or sent something else.
        """
        path = self.path(digest)
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._locked(digest):
                self.marks.put(digest, user)
                if not path.exists():
                    self._fetch(digest, path, evict=True)
                    return path
            # Reading it takes long where it is large, and many nodes start at once: this holds nobody up.
            if not _is_sound(path, digest):
                self._replace(digest, path)
        except OSError as error:
            if error.errno in _READ_ONLY and path.exists():
                return self._found_read_only(path, digest)
            raise NotAvailableError(
                f"The image store {self._directory} cannot be used: {error.strerror or error}.",
                remedy="It must be a directory that the pilots' user may write to, or hold the image already.",
                retryable=True,
            ) from error
        return path

    def prefetch(self, digest: str) -> bool:
        """Fetch an image that is going to be needed, if there is room without removing another; whether it was fetched.

        Raises:
            NotAvailableError: The hub, the space or the directory is not there, or somebody works on the image now.
            RefusedError: The hub has no such image, or sent something else.
        """
        path = self.path(digest)
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            with lease_if_free(self._lease(digest)) as held:
                if not held or path.exists():
                    return False
                self._fetch(digest, path, evict=False)
        except OSError as error:
            raise NotAvailableError(
                f"The image store {self._directory} cannot be used: {error.strerror or error}.",
                retryable=True,
            ) from error
        return True

    def _replace(self, digest: str, path: Path) -> None:
        """Fetch a damaged image again, unless another has done so meanwhile."""
        with self._locked(digest):
            if path.exists() and _is_sound(path, digest):
                return
            log.error("%s does not have its digest and is fetched again", path)
            path.unlink(missing_ok=True)
            self._fetch(digest, path, evict=True)

    def _found_read_only(self, path: Path, digest: str) -> Path:
        """An image in a store that this node may only read: there is nothing to mark, nor to mend."""
        if not _is_sound(path, digest):
            raise NotAvailableError(
                f"{path} does not have its digest, and the store can only be read here.",
                remedy="Remove the file.",
                retryable=True,
            )
        return path

    def _fetch(self, digest: str, path: Path, *, evict: bool) -> None:
        with self._opener(digest) as source:
            if source.size_bytes > MAX_IMAGE_BYTES:
                raise RefusedError(
                    f"The image has {source.size_bytes} bytes; at most {MAX_IMAGE_BYTES} are taken."
                )
            with self._part(digest, source.size_bytes, evict=evict) as part:
                with part.open("r+b") as stream:
                    _copy(source, digest, stream.write)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.chmod(0o444)
                part.replace(path)
        self._sync_directory()
        log.info("image sha256:%s fetched, %d bytes", digest, source.size_bytes)

    @contextmanager
    def _part(self, digest: str, size_bytes: int, *, evict: bool) -> Iterator[Path]:
        """A file for what comes, as large as it will be, so that others count it; removed unless it was renamed."""
        end = time.monotonic() + (self._patience_s if evict else 0)
        while (part := self._reserved(digest, size_bytes, evict=evict, last=time.monotonic() >= end)) is None:
            # Pilots keep what they have used a moment ago, but not where it is in the way.
            self.marks.press()
            time.sleep(PRESS_S)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _reserved(self, digest: str, size_bytes: int, *, evict: bool, last: bool) -> Path | None:
        """An empty file of that size; None where there is no room, which fails if it is the last attempt."""
        with lease(self._directory / ".room.lease"):
            try:
                self._make_room(size_bytes, evict=evict)
            except NotAvailableError:
                if last:
                    raise
                return None
            descriptor, name = tempfile.mkstemp(prefix=f".{digest}.", suffix=".part", dir=self._directory)
            os.close(descriptor)
            os.truncate(name, size_bytes)
            return Path(name)

    def _make_room(self, size_bytes: int, *, evict: bool) -> None:
        """Remove images until another one fits.

        Raises:
            NotAvailableError: It cannot fit.
        """
        kept, room = self._kept()
        if room.lacks(size_bytes) == 0:
            return
        chosen = victims(kept, room, size_bytes) if evict else None
        for one in chosen or []:
            self._evict(one)
        if chosen is None or self._kept()[1].lacks(size_bytes) > 0:
            used = sum(one.size_bytes for one in kept if one.in_use)
            bound = "no quota" if room.quota_bytes is None else f"a quota of {room.quota_bytes}"
            raise NotAvailableError(
                f"The image has {size_bytes} bytes, but {self._directory} holds {room.taken_bytes} with {bound}, "
                f"{used} of them in use, and its file system has {room.free_bytes} free and keeps {room.reserve_bytes}.",
                remedy="Raise assume.image_quota_mb, or name a larger store.",
                retryable=True,
            )

    def _kept(self) -> tuple[list[Kept], Room]:
        """What the store holds, and its room."""
        now = self.marks.now()
        sizes: dict[str, int] = {}
        parts_bytes = 0
        for entry in os.scandir(self._directory):
            with contextlib.suppress(FileNotFoundError):
                if found := _IMAGE.fullmatch(entry.name):
                    sizes[found[1]] = entry.stat().st_size
                elif entry.name.endswith(".part"):
                    if now - entry.stat().st_mtime > DEAD_PART_S:
                        Path(entry.path).unlink()
                    else:
                        parts_bytes += entry.stat().st_size
        used = self.marks.used(sizes)
        free = os.statvfs(self._directory)
        room = Room(
            taken_bytes=sum(sizes.values()) + parts_bytes,
            quota_bytes=self._quota_bytes,
            free_bytes=free.f_bavail * free.f_frsize,
            reserve_bytes=self._reserve_bytes,
        )
        return [Kept(digest, size, *used[digest]) for digest, size in sizes.items()], room

    def _evict(self, one: Kept) -> None:
        """Remove an image unless somebody works on it, or uses it since it was chosen."""
        with lease_if_free(self._lease(one.digest)) as held:
            if not held or self.marks.used([one.digest])[one.digest][1]:
                return
            self.path(one.digest).unlink(missing_ok=True)
            self.marks.forget(one.digest)
            log.info("image sha256:%s removed, %d bytes, to make room", one.digest, one.size_bytes)

    def _lease(self, digest: str) -> Path:
        return self._directory / f".{digest}.lease"

    @contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        """Be the one that works on an image; what a killed one left of it is removed."""
        with lease(self._lease(digest)):
            for stale in self._directory.glob(f".{digest}.*.part"):
                stale.unlink(missing_ok=True)
            yield

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(path: Path) -> str:
    """What tells an unchanged image from another one without reading it: inode, size, and the times of change of both.

    Nobody but root can set the second time. The launcher script compares it with `stat -c '%i %s %Y %Z'`.
    """
    status = path.stat()
    return f"{status.st_ino} {status.st_size} {int(status.st_mtime)} {int(status.st_ctime)}"


def _is_sound(path: Path, digest: str) -> bool:
    return sha256_of(path) == digest


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
