"""Tickets of jobs: what a job shows to the hub when its files are to be staged. They say which attempt it is, and no more.

A ticket has no end of its own: the hub looks each time whether that attempt of that row is still on its way.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import jwt

from fallow.errors import RefusedError
from fallow.files import private_directory, read_private

_AUDIENCE = "fallow-staging"

Place = tuple[int, int, int]
"""Campaign, row, attempt."""


class Tickets:
    """Issues tickets and knows them again.

    Args:
        state_dir: The hub's; the key lies in it and never leaves the hub.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "campaigns" / "tickets.key"
        self._key = ""

    def of(self, place: Place) -> str:
        """The ticket of an attempt."""
        subject = ".".join(map(str, place))
        return jwt.encode({"aud": _AUDIENCE, "sub": subject}, self._secret(), algorithm="HS256")

    def place(self, ticket: str) -> Place:
        """Whose ticket it is.

        Raises:
            RefusedError: It is not one of this hub.
        """
        try:
            said = jwt.decode(
                ticket,
                self._secret(),
                algorithms=["HS256"],
                audience=_AUDIENCE,
                options={"require": ["aud", "sub"]},
            )
            campaign, row, attempt = map(int, str(said["sub"]).split("."))
        except (jwt.PyJWTError, ValueError) as error:
            raise RefusedError("This is no ticket of this hub.") from error
        return campaign, row, attempt

    def ensure(self) -> None:
        """Make the key if there is none yet."""
        self._secret()

    def _secret(self) -> str:
        if not self._key:
            private_directory(self._path.parent)
            self._key = read_private(self._path) or self._made()
        return self._key

    def _made(self) -> str:
        """A key; whichever of the hub's processes is first makes it."""
        draft = self._path.with_name(f".{secrets.token_hex(6)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
        try:
            os.link(draft, self._path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return read_private(self._path) or ""
