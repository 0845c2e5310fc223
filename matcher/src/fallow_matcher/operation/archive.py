"""A backup's file: a compressed tar whose last member lists every other one with its SHA-256.

It is written and read as a stream, so that it may go to another program (encryption) without lying on a disk.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from pydantic import ValidationError

from fallow.errors import FallowError, RefusedError
from fallow.offers import Message
from fallow_matcher.operation.journals import whole_bytes

FORMAT = 1
MANIFEST = "manifest.json"
SETTINGS = "hub.toml"
"""The first member: where everything else belongs is said there."""
DATABASE = "database"
FILES = "files"
STATE = "state"


class Manifest(Message):
    """What a backup holds."""

    format: int
    release: str
    """The release of Fallow that wrote it."""
    schema_revision: str
    """The database's."""
    database: str
    """`sqlite` or `postgresql`."""
    trust_domain: str
    host: str
    began: float
    """Unix time: nothing that came later need be in it."""
    ended: float
    queue_at: float
    """Unix time at which the queue was copied."""
    digests: dict[str, str]
    """SHA-256 of each member by its name."""


class _Hashing(io.RawIOBase):
    """Reads at most `size` bytes of a stream and takes their digest."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._stream.read(wanted)
        self._left -= len(block)
        self.digest.update(block)
        return block


class Writer:
    """Writes the members of a backup one after the other; a name that comes again replaces what was there.

    Args:
        stream: Where the archive goes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._packed = gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=3, filename="")
        self._tar = tarfile.open(fileobj=self._packed, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.digests: dict[str, str] = {}

    def text(self, name: str, text: str) -> None:
        """Add a text."""
        data = text.encode()
        self._add(name, io.BytesIO(data), len(data), 0o600)

    def file(self, name: str, path: Path) -> bool:
        """Add as much of a file as is whole now; whether it was there.

        Raises:
            FallowError: It became shorter while it was read.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        with os.fdopen(descriptor, "rb") as stream:
            about = os.fstat(descriptor)
            size = whole_bytes(name, stream, about.st_size)
            try:
                self._add(name, stream, size, about.st_mode & 0o777)
            except OSError as error:
                raise FallowError(
                    f"{path} cannot be copied: {error}.", remedy="Run the backup again.", retryable=True
                ) from error
        return True

    def close(self, manifest: Manifest) -> None:
        """Add the list of members and end the archive."""
        data = manifest.model_dump_json(indent=1).encode()
        self._add(MANIFEST, io.BytesIO(data), len(data), 0o600)
        self._tar.close()
        self._packed.close()

    def _add(self, name: str, stream: BinaryIO, size: int, mode: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, mode
        hashing = _Hashing(stream, size)
        self._tar.addfile(member, hashing)
        self.digests[name] = hashing.digest.hexdigest()


@dataclass
class Reader:
    """Reads a backup.

    Args:
        stream: Where it comes from.
    """

    stream: BinaryIO
    _digests: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._tar = tarfile.open(fileobj=self.stream, mode="r|*")  # noqa: SIM115
        except (tarfile.TarError, OSError, EOFError) as error:
            raise _damaged(error) from error

    def settings(self) -> str:
        """The text of the first member, the hub's settings.

        Raises:
            RefusedError: This is no backup of a hub.
        """
        try:
            first = self._tar.next()
            stream = self._tar.extractfile(first) if first is not None and first.name == SETTINGS else None
            if stream is None:
                raise RefusedError(
                    "This is no backup of a hub.", remedy="Name a file that `fallow hub backup` wrote."
                )
            data = stream.read()
            self._digests[SETTINGS] = hashlib.sha256(data).hexdigest()
            return data.decode()
        except (tarfile.TarError, OSError, EOFError, UnicodeError) as error:
            raise _damaged(error) from error

    def unpack(self, folder: Path) -> Manifest:
        """Write all other members below `folder`, which nobody else can read, and compare each with its digest.

        Raises:
            RefusedError: The archive is damaged, or was changed, or a newer release wrote it.
        """
        manifest = None
        try:
            while (member := self._tar.next()) is not None:
                stream = self._tar.extractfile(member) if member.isreg() else None
                if stream is None or tarfile.data_filter(member, str(folder)).name != member.name:
                    raise RefusedError(
                        f"The backup holds {member.name!r}, which is no plain file in it.",
                        remedy="Name another one.",
                    )
                if member.name == MANIFEST:
                    manifest = Manifest.model_validate_json(stream.read())
                    continue
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                self._digests[member.name] = _copy(stream, target, member.mode & 0o777)
        except (tarfile.TarError, zlib.error, OSError, EOFError, ValidationError) as error:
            raise _damaged(error) from error
        if manifest is None:
            raise RefusedError("The backup has no end: it was cut off.", remedy="Take another one.")
        if manifest.format > FORMAT:
            raise RefusedError(
                f"Release {manifest.release} wrote this backup in a form that this release does not know.",
                remedy="Install that release of Fallow, or a newer one.",
            )
        if wrong := {name for name in self._digests.keys() | manifest.digests.keys()
                     if self._digests.get(name) != manifest.digests.get(name)}:  # fmt: skip
            raise RefusedError(
                f"The backup was damaged or changed: {', '.join(sorted(wrong)[:5])}.",
                remedy="Take another one.",
            )
        return manifest


def _copy(source: IO[bytes], target: Path, mode: int) -> str:
    total = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        for block in iter(lambda: source.read(1 << 20), b""):
            total.update(block)
            stream.write(block)
        os.fchmod(descriptor, mode)
    return total.hexdigest()


def _damaged(error: Exception) -> RefusedError:
    return RefusedError(f"The backup cannot be read: {error}.", remedy="Name another one.")
