"""The state directory: who the issuer is, and private files that are written whole or not at all."""

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fallow_dev_issuer.errors import IssuerError


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `content` in one step; nobody ever sees half of it or a wider mode than `mode`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def checked_issuer(url: str) -> str:
    """Return `url` if it can be an issuer here: https, a host, and no path, query or fragment.

    Raises:
        IssuerError: It cannot.
    """
    parts = urlsplit(url)
    if (
        parts.scheme != "https"
        or not parts.hostname
        or parts.path not in {"", "/"}
        or parts.query
        or parts.fragment
    ):
        raise IssuerError(f"The issuer {url!r} is not of the form https://HOST[:PORT]. Name it like that.")
    return url


@dataclass(frozen=True)
class State:
    """An initialised state directory: mode 0700, every file in it that holds a secret 0600."""

    directory: Path
    issuer: str

    @classmethod
    def create(cls, directory: Path, issuer: str) -> "State":
        """Make the directory, or take the one that is there and give it this issuer URL."""
        checked_issuer(issuer)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        write_private(directory / "issuer.json", json.dumps({"issuer": issuer}).encode())
        return cls(directory, issuer)

    @classmethod
    def open(cls, directory: Path) -> "State":
        """Take an existing directory.

        Raises:
            IssuerError: It was never initialised, or others may enter it.
        """
        try:
            mode = stat.S_IMODE(directory.stat().st_mode)
            issuer = json.loads((directory / "issuer.json").read_bytes())["issuer"]
        except (OSError, ValueError, KeyError) as error:
            raise IssuerError(
                f"{directory} is no issuer's state. Run `fallow-dev-issuer init` first."
            ) from error
        if mode & 0o077:
            raise IssuerError(
                f"{directory} has mode {mode:04o}, so others may enter it. Run: chmod 0700 {directory}"
            )
        return cls(directory, checked_issuer(issuer))

    @property
    def keys(self) -> Path:
        """The signing keys."""
        return self.directory / "keys.json"

    @property
    def people(self) -> Path:
        """The people that the issuer vouches for."""
        return self.directory / "people.toml"

    @property
    def grants(self) -> Path:
        """Device codes and refresh tokens."""
        return self.directory / "grants.sqlite3"

    @property
    def base_url(self) -> str:
        """The issuer's URL without a trailing slash: what the endpoints start with."""
        return self.issuer.rstrip("/")
