"""Names of images: digests, and tags such as `fallow://alder.alice/analysis:2.1`."""

from __future__ import annotations

import re
from typing import NamedTuple, cast, get_args

from fallow.errors import UsageError
from fallow.images.architecture import USUAL, Architecture

SCHEME = "fallow://"
OWN = "~"
"""Stands for the caller as owner; the hub knows who that is."""
OWNER_PATTERN = r"^(~|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9][a-z0-9_-]{0,62})?)$"
"""A centre, or a person at a centre: `<centre>.<user>`."""
NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
TAG_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
TAG_IN_FULL_PATTERN = f"{TAG_PATTERN[:-1]}(@({'|'.join(get_args(Architecture))}))?$"
"""A tag, and one of its architectures: `2.1@aarch64`."""
NEWEST = "latest"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class TagName(NamedTuple):
    """A tag in full."""

    owner: str
    name: str
    tag: str
    architecture: Architecture | None = None
    """Which of its images, where it has one for each of several architectures; None: the usual one, else the only one."""

    @property
    def word(self) -> str:
        """The tag with its architecture, where that is not the usual one."""
        return self.tag if self.architecture in {None, USUAL} else f"{self.tag}@{self.architecture}"

    @classmethod
    def of_word(cls, owner: str, name: str, word: str) -> TagName:
        """The tag whose last part is `word`, which is of `TAG_IN_FULL_PATTERN`."""
        tag, _, architecture = word.partition("@")
        return cls(owner, name, tag, cast(Architecture, architecture) if architecture else None)

    def __str__(self) -> str:
        return f"{SCHEME}{self.owner}/{self.name}:{self.word}"


def is_digest(text: str) -> bool:
    """Whether `text` is the digest of an image."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` says that it is a tag, and no file."""
    return text.startswith(SCHEME)


def parse_tag(text: str) -> TagName:
    """`[fallow://][OWNER/]NAME[:TAG][@ARCHITECTURE]` as a tag.

    Without an owner it is the caller's own, without a tag it is `latest`, without an architecture it is whatever there is.

    Raises:
        UsageError: It is not of that form.
    """
    owner, slash, rest = text.removeprefix(SCHEME).rpartition("/")
    rest, at, architecture = rest.partition("@")
    name, colon, tag = rest.partition(":")
    word = f"{tag if colon else NEWEST}{at}{architecture}"
    parts = (owner if slash else OWN, name, word)
    for value, pattern in zip(parts, (OWNER_PATTERN, NAME_PATTERN, TAG_IN_FULL_PATTERN)):
        if not re.fullmatch(pattern[1:-1], value):
            raise UsageError(
                f"{text!r} is no name of an image.",
                remedy="Write a digest sha256:…, or OWNER/NAME:TAG such as alder.alice/analysis:2.1.",
            )
    return TagName.of_word(*parts)
