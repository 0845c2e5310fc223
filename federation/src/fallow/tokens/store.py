"""Issuers' public keys on disk, so that a restart does not need every issuer to be there.

Public keys are no secret, but whoever could write here would be trusted: nothing is read that others could
have written.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallow.errors import FallowError
from fallow.files import private_directory, read_private, write_private
from fallow.tokens.compact import strict_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """What is kept of one issuer."""

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
            content = read_private(path)
            return None if content is None else _parse(issuer, strict_json(content.encode()))
        except (FallowError, OSError, ValueError, TypeError) as error:
            logger.warning("keys of %s in %s are not used: %s", issuer, path, error)
            return None

    def save(self, issuer: str, stored: Stored) -> None:
        """Keep the keys of an issuer; a failure is a warning, since the keys are in memory."""
        body = {
            "issuer": issuer,
            "fetched_at": stored.fetched_at,
            "jwks": stored.jwks,
        }
        path = self.path(issuer)
        try:
            private_directory(self._directory)
            write_private(path, json.dumps(body))
        except OSError as error:
            logger.warning("keys of %s are not kept in %s: %s", issuer, path, error)


def _parse(issuer: str, document: Any) -> Stored:
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise ValueError("it is of another issuer")
    fetched_at, jwks = document.get("fetched_at"), document.get("jwks")
    if not isinstance(fetched_at, (int, float)) or not isinstance(jwks, dict):
        raise TypeError("it is incomplete")
    return Stored(fetched_at, jwks)
