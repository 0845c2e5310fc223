"""The stored login: what `fallow login` keeps between commands, for this user only."""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Callable, Optional

from pydantic import Field, ValidationError

from fallow.errors import NotAvailableError
from fallow.files import private_directory, read_private, write_private
from fallow.offers import Message, UtcMoment

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 30.0


class Session(Message):
    """One login at one issuer."""

    issuer: str
    client_id: str
    audience: str
    scope: str
    name: str = ""
    """What the issuer calls the user; for display only."""
    access_token: str = Field(repr=False)
    expires: UtcMoment
    """When the access token expires."""
    refresh_token: str = Field(default="", repr=False)
    ca_file: Optional[Path] = None
    """Certificate authorities that the login trusted beside the system's."""

    def left_s(self, now: datetime) -> float:
        """Seconds until the access token expires; negative once it has."""
        return (self.expires - now).total_seconds()


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where the login is kept: `$XDG_STATE_HOME/fallow`, else `~/.local/state/fallow`."""
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "fallow"


class SessionStore:
    """The directory of the stored login.

    `login.json` holds the login, `access-token` the bare access token for other programs that follow the WLCG
    discovery. Both have mode 0600, the directory 0700.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._login = directory / "login.json"
        self.token_file = directory / "access-token"

    @classmethod
    def of_user(cls, environ: Optional[Mapping[str, str]] = None) -> "SessionStore":
        """The store of the user who runs this."""
        return cls(state_directory(os.environ if environ is None else environ))

    def load(self) -> Optional[Session]:
        """The stored login, or None; one that cannot be understood counts as none.

        Raises:
            SettingsError: Others could have read it.
        """
        content = read_private(self._login)
        if content is None:
            return None
        try:
            return Session.model_validate_json(content)
        except ValidationError:
            logger.warning("the stored login in %s is damaged and not used", self._login)
            return None

    def save(self, session: Session) -> None:
        """Keep `session` in place of the last one."""
        private_directory(self._directory)
        write_private(self._login, session.model_dump_json())
        write_private(self.token_file, session.access_token + "\n")

    def delete(self) -> None:
        """Forget the login."""
        self._login.unlink(missing_ok=True)
        self.token_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[None]:
        """Hold the store alone: a refresh token works once, so two processes must not use it together.

        Raises:
            NotAvailableError: Another process held it for `LOCK_TIMEOUT_S`.
        """
        path = private_directory(self._directory) / "lock"
        deadline = clock() + LOCK_TIMEOUT_S
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if clock() > deadline:
                        raise NotAvailableError(
                            f"Another process has held {path} for {LOCK_TIMEOUT_S:g} s.",
                            remedy="Try again, or end the other fallow command.",
                            retryable=True,
                        ) from None
                    sleep(0.05)
            yield
        finally:
            os.close(descriptor)
