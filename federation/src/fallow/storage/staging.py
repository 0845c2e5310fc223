"""Files of one job between S3 and its directory: resumed where they broke, compared by checksum."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Callable, TypeVar

from fallow.storage.failures import PASSING, StagingError, Trouble, by_system
from fallow.storage.grants import Made, StagedFile
from fallow.storage.objects import CHUNK_BYTES, Objects

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 20.0
_MD5 = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long all files of one job may take: who waits longer is told so as slow, not as away."""

    until: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, seconds: float) -> Patience:
        """So many seconds from now on."""
        return cls(time.monotonic() + seconds)

    def keep(self, file: StagedFile) -> None:
        """Go on while there is time.

        Raises:
            StagingError: There is none left, though something came.
        """
        if self.clock() > self.until:
            raise _TooLateError(Trouble.SLOW, f"{file.url} does not come or go fast enough.")

    def again(self, call: Callable[[], T]) -> T:
        """What a call gives; where its trouble may pass it is made again, after pauses that grow."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except _TooLateError:
                raise
            except StagingError as error:
                if error.trouble not in PASSING or self.clock() + pause > self.until:
                    raise
                log.warning("%s It is tried again in %g s.", error.what, pause)
                self.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)


class _TooLateError(StagingError):
    """Nothing is tried again: the time is up."""


def fetch(file: StagedFile, path: Path, objects: Objects, patience: Patience) -> str:
    """Have an object at `path`, whole and compared, or nothing; returns its SHA-256.

    What an earlier call left half done beside it, of the same content, is gone on with.

    Raises:
        StagingError: It cannot be had.
    """
    name = file.content_name[:16]
    part = path.with_name(f".fallow-{path.name}.{name}.part")
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            digest = patience.again(lambda: _resumed(file, stream, objects, patience))
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StagingError(by_system(error), f"{file.url} cannot be kept here: {error.strerror}.") from error
    return digest


def _resumed(file: StagedFile, stream: IO[bytes], objects: Objects, patience: Patience) -> str:
    """Read what is missing behind what is there, and compare the whole."""
    seen = hashlib.sha256()
    tag = hashlib.md5(usedforsecurity=False) if _MD5.fullmatch(file.etag) and not file.sha256 else None
    size = 0

    def add(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)
        seen.update(chunk)
        if tag is not None:
            tag.update(chunk)

    stream.seek(0)
    for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
        add(chunk)

    def take(chunk: bytes) -> None:
        patience.keep(file)
        if size + len(chunk) > file.bytes:
            raise StagingError(Trouble.CHANGED, f"{file.url} is longer than it was.")
        stream.write(chunk)
        add(chunk)

    if size < file.bytes or not file.bytes:
        objects.read(file, size, take)
    stream.flush()
    if size < file.bytes:
        raise StagingError(Trouble.AWAY, f"Of {file.url} came {size} of {file.bytes} bytes.")
    if (file.sha256 and seen.hexdigest() != file.sha256) or (
        tag is not None and tag.hexdigest() != file.etag
    ):
        stream.seek(0)
        stream.truncate()
        raise StagingError(Trouble.CORRUPT, f"{file.url} did not arrive as it was sent.")
    return seen.hexdigest()


def made(folder: Path, name: str) -> Made:
    """What the job has made: a file's size and SHA-256.

    Raises:
        StagingError: It is not there, or is no plain file.
    """
    with _opened(folder, name) as stream:
        digest, size = hashlib.sha256(), 0
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            digest.update(chunk)
            size += len(chunk)
    return Made(path=name, bytes=size, sha256=digest.hexdigest())


def store(file: StagedFile, folder: Path, objects: Objects, patience: Patience) -> None:
    """Make a file of the job an object.

    Raises:
        StagingError: It could not be stored; nothing of it is to be seen.
    """

    def put() -> None:
        with _opened(folder, file.path) as stream:
            objects.write(file, _Watched(stream, file, patience))  # type: ignore[arg-type]

    patience.again(put)


class _Watched:
    """A file that is read while there is time."""

    def __init__(self, stream: IO[bytes], file: StagedFile, patience: Patience) -> None:
        self._stream, self._file, self._patience = stream, file, patience

    def read(self, size: int = -1) -> bytes:
        self._patience.keep(self._file)
        return self._stream.read(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterable[bytes]:
        return iter(lambda: self.read(CHUNK_BYTES), b"")


def _opened(folder: Path, name: str) -> IO[bytes]:
    """A plain file that the job has made: what it is named is the job's word, so no link is followed."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StagingError(Trouble.MISSING, f"The job has made no {name}.") from None
    except OSError as error:
        raise StagingError(Trouble.DENIED, f"The output {name} cannot be read: {error.strerror}.") from error
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise StagingError(Trouble.DENIED, f"The output {name} is no plain file.")
    return stream
