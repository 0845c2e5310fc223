"""The architecture that an image's programs are for: read from the SIF, asked of the slot."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args

Architecture = Literal["x86_64", "aarch64", "ppc64le"]
"""As `uname -m` says it; HTCondor's `Arch` is the same, and compares without regard to case."""

USUAL: Architecture = "x86_64"
"""Of an image of which nobody says it."""
_AT = 45
"""Where a SIF says it, after launch line, magic and version; see github.com/apptainer/sif, `pkg/sif/sif.go`."""
_CODES: dict[bytes, Architecture] = {b"02": "x86_64", b"04": "aarch64", b"06": "ppc64le"}


def among(words: Collection[str]) -> Architecture | None:
    """The architecture that a node's capabilities name; None where they name none: it is the usual one, or not known."""
    return next((known for known in get_args(Architecture) if known in words), None)


def architecture_of(image: Path) -> Architecture | None:
    """What the SIF at `image` says of itself; None where it says nothing that is known here, or cannot be read."""
    try:
        with image.open("rb") as stream:
            stream.seek(_AT)
            return _CODES.get(stream.read(2))
    except OSError:
        return None


def requirement(architecture: Architecture) -> str:
    """What a job whose image is for `architecture` asks of its slot."""
    return f'TARGET.Arch == "{architecture.upper()}"'
