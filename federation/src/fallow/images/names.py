"""Names of images: digests, and tags such as `fallow://alder.alice/analysis:2.1`."""

from __future__ import annotations

import re
from typing import NamedTuple

from fallow.errors import UsageError

SCHEME = "fallow://"
OWN = "~"
"""Stands for the caller as owner; the hub knows who that is."""
OWNER_PATTERN = r"^(~|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9][a-z0-9_-]{0,62})?)$"
"""A centre, or a person at a centre: `<centre>.<user>`."""
NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
TAG_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
NEWEST = "latest"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class TagName(NamedTuple):
    """A tag in full."""

    owner: str
    name: str
    tag: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.owner}/{self.name}:{self.tag}"


def is_digest(text: str) -> bool:
    """Whether `text` is the digest of an image."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` says that it is a tag, and no file."""
    return text.startswith(SCHEME)


def parse_tag(text: str) -> TagName:
    """`[fallow://][OWNER/]NAME[:TAG]` as a tag; without an owner it is the caller's own, without a tag it is `latest`.

    Raises:
        UsageError: It is not of that form.
    """
    owner, slash, rest = text.removeprefix(SCHEME).rpartition("/")
    name, colon, tag = rest.partition(":")
    found = TagName(owner if slash else OWN, name, tag if colon else NEWEST)
    for value, pattern in zip(found, (OWNER_PATTERN, NAME_PATTERN, TAG_PATTERN)):
        if not re.fullmatch(pattern[1:-1], value):
            raise UsageError(
                f"{text!r} is no name of an image.",
                remedy="Write a digest sha256:…, or OWNER/NAME:TAG such as alder.alice/analysis:2.1.",
            )
    return found
