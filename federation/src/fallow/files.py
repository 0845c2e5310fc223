"""Files for their owner only: written whole or not at all, refused when others could have read them; and checksums."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

from fallow.errors import SettingsError

MAX_PRIVATE_BYTES = 1024 * 1024


def private_directory(path: Path) -> Path:
    """Make `path` with mode 0700, or narrow it to that; returns it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)
    return path


def write_private(path: Path, content: str) -> None:
    """Replace `path` by `content` in one step, with mode 0600 from the first byte."""
    _replace(path, content, 0o600)


def write_public(path: Path, content: str) -> None:
    """Replace `path` by `content` in one step, readable by everybody whatever the umask."""
    _replace(path, content, 0o644)


def _replace(path: Path, content: str, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink()
        raise


def read_private(path: Path) -> str | None:
    """The content of `path`, or None if there is no such file.

    Raises:
        SettingsError: It is not a plain file of this user with no rights for others, or it is no text.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.", remedy="Remove it.") from error
    with os.fdopen(descriptor, "rb") as stream:
        about = os.fstat(stream.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
            raise SettingsError(f"{path} is not a plain file of yours.", remedy="Remove it.")
        if about.st_mode & 0o077:
            mode = stat.S_IMODE(about.st_mode)
            raise SettingsError(
                f"{path} has mode {mode:04o}, so others may have read the secret in it.",
                remedy=f"Get a new secret, or run: chmod 0600 {path}",
            )
        try:
            return stream.read(MAX_PRIVATE_BYTES).decode("utf-8")
        except ValueError as error:
            raise SettingsError(f"{path} is no text.", remedy="Remove it.") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file of any size, in hexadecimal digits."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()
