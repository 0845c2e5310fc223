"""The pilot's HTCondor token: read from the shared file system, kept fresh in a directory that payloads cannot see."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

from fallow.errors import FallowError
from fallow.files import read_private, write_private

log = logging.getLogger(__name__)


def expiry(token: str) -> float | None:
    """Unix time at which a JWT says that it expires; None if it is no JWT or says nothing.

    Nothing is verified: that is for those who accept it.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None


class TokenCopy:
    """Copies the centre's token into the pilot's token directory whenever a newer one appears.

    Args:
        source: The launcher's file, on the shared file system.
        directory: HTCondor's token directory on the node; it holds this one token.
    """

    def __init__(self, source: Path, directory: Path) -> None:
        self._source = source
        self._target = directory / "hub"
        self._current = ""

    @property
    def expires(self) -> float | None:
        """Unix time at which the copied token expires; None without one."""
        return expiry(self._current)

    def refresh(self, now: float) -> bool:
        """Copy the token if it has changed and is valid at `now`.

        Returns:
            Whether the copy is valid at `now`. Trouble with the source leaves the last copy in place.
        """
        try:
            token = (read_private(self._source) or "").strip()
        except FallowError as error:
            log.warning("token: %s", error)
            token = ""
        until = expiry(token)
        if token != self._current and until is not None and until > now:
            write_private(self._target, token + "\n")
            self._current = token
            log.info("token until %d taken over", until)
        held_until = self.expires
        return held_until is not None and held_until > now
