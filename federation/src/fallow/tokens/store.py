"""Issuers' public keys on disk, so that a restart does not need every issuer to be there.

Public keys are no secret, but whoever could write here would be trusted: nothing is read that others could
have written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallow.tokens.compact import strict_json

logger = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024


@dataclass(frozen=True)
class Stored:
    """What is kept of one issuer."""

    jwks_uri: str
    fetched_at: float
    """Unix time in seconds."""
    jwks: dict[str, Any]


class KeyStore:
    """A directory with one file per issuer, each written whole or not at all.

    Args:
        directory: Made, 0700, when first written to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, issuer: str) -> Path:
        """The file of the issuer with this URL."""
        return self._directory / f"{hashlib.sha256(issuer.encode()).hexdigest()[:32]}.json"

    def load(self, issuer: str) -> Stored | None:
        """What was saved for an issuer; None, with a warning, where that cannot be trusted or read."""
        path = self.path(issuer)
        try:
            return _parse(issuer, strict_json(_read_own(path)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            logger.warning("keys of %s in %s are not used: %s", issuer, path, error)
            return None

    def save(self, issuer: str, stored: Stored) -> None:
        """Keep the keys of an issuer; a failure is a warning, since the keys are in memory."""
        path = self.path(issuer)
        body = {
            "issuer": issuer,
            "jwks_uri": stored.jwks_uri,
            "fetched_at": stored.fetched_at,
            "jwks": stored.jwks,
        }
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=".keys-")  # 0600
            try:
                with os.fdopen(handle, "w") as stream:
                    json.dump(body, stream)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink()
                raise
        except (OSError, ValueError) as error:
            logger.warning("keys of %s are not kept in %s: %s", issuer, path, error)


def _parse(issuer: str, document: Any) -> Stored:
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise ValueError("it is of another issuer")
    uri, fetched_at, jwks = (document.get(name) for name in ("jwks_uri", "fetched_at", "jwks"))
    if not isinstance(uri, str) or not isinstance(fetched_at, (int, float)) or not isinstance(jwks, dict):
        raise TypeError("it is incomplete")
    return Stored(uri, fetched_at, jwks)


def _read_own(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_mode & 0o022
            or status.st_uid not in {0, os.geteuid()}
        ):
            raise PermissionError("others could have written it")
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError("it is too large")
    return raw
