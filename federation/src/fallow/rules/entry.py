"""One entry of the history of the rules: what was done, by whom, and the hash that ties it to the one before."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import Enum
from typing import Optional

from pydantic import Field

from fallow.messages import Digest
from fallow.offers import CentreName, Message, UtcMoment
from fallow.rules.document import digest_of

START = "sha256:" + "0" * 64
"""What the first entry names as the hash of the one before it."""


class Event(str, Enum):
    """What an entry records."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    IN_FORCE = "in_force"


class Voice(Message):
    """Who spoke for a centre: its own token, by the claims that name it."""

    centre: CentreName
    iss: str
    sub: str
    jti: str
    """The token's id: the issuer can say whose it was."""


class Entry(Message):
    """One entry of the history."""

    seq: int = Field(ge=1)
    """1 for the first, then one more each."""
    previous: Digest
    """The hash of the entry before."""
    at: UtcMoment
    event: Event
    digest: Digest
    """The rules that the entry is about."""
    document: Optional[str] = None  # noqa: UP045 - read at run time, on Python 3.9 too
    """The rules themselves: in a proposal and in the first entry."""
    by: Optional[Voice] = None  # noqa: UP045
    """Who proposed or approved."""
    version: int = 0
    """Of rules that took effect: 1, 2, …"""
    centres: list[CentreName] = Field(default_factory=list)
    """When rules took effect: the centres that the federation had then."""
    approved_by: list[CentreName] = Field(default_factory=list)
    """When rules took effect: those of them that had approved."""


class Line(Message):
    """One entry as it is kept and sent: the exact text that was hashed, and its hash."""

    body: str
    hash: Digest


def seal(entry: Entry) -> Line:
    """The entry's exact text, with its hash."""
    raw = entry.model_dump(mode="json", exclude_defaults=True)
    body = json.dumps(raw, sort_keys=True, separators=(",", ":"))
    return Line(body=body, hash=hash_of(body))


def first(document: str, at: datetime) -> Entry:
    """The entry with which a federation begins: rules that are in force until the centres agree on others."""
    return Entry(
        seq=1,
        previous=START,
        at=at,
        event=Event.IN_FORCE,
        digest=digest_of(document),
        document=document,
        version=1,
    )


def hash_of(body: str) -> str:
    """The hash of an entry's text."""
    return "sha256:" + hashlib.sha256(body.encode("utf-8", "backslashreplace")).hexdigest()
