"""Files that only their owner may read: written whole or not at all, refused when others could touch them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from fallow.errors import SettingsError

MAX_BYTES = 1 << 20
"""No spec, token or outcome is longer."""


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, mode 0600; a reader sees the old file or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_private(path: Path) -> bytes:
    """Read a regular file of the calling user that is closed to everybody else.

    Raises:
        SettingsError: It cannot be read, or others may read or write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"{path} is not a regular file.")
        if status.st_uid not in {os.geteuid(), 0} or status.st_mode & 0o077:
            owner, mode = status.st_uid, status.st_mode & 0o777
            raise SettingsError(
                f"{path} could be read or changed by others (owner {owner}, mode {mode:03o}).",
                remedy=f"Give it to the user that runs the pilots: chown, and chmod 0600 {path}.",
            )
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{path} is longer than {MAX_BYTES} bytes.")
    return content
