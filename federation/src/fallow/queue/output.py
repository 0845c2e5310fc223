"""What a job has written so far, as far as it has told: parts of streams in, what is new of them out. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fallow.errors import NotAvailableError

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class Part:
    """The end of a stream."""

    size: int
    """Bytes of the whole stream."""
    text: bytes
    """The last of them, possibly all."""


@dataclass(frozen=True)
class Note:
    """What a job said about itself: `fallow_notes.py` of the Snakemake executor writes it, others may."""

    began: float
    """Unix time at which the job began to write notes; a job that was started again begins anew."""
    parts: Mapping[str, Part]
    """The ends of `stdout`, `stderr` and of further files, by name."""


def parse(text: bytes) -> Note:
    """A note as it lies in the storage.

    Raises:
        NotAvailableError: It is not one.
    """
    try:
        note = json.loads(text)
        said: dict[str, Any] = note["said"]
        parts = {
            str(name): Part(int(part["bytes"]), str(part["text"]).encode())
            for name, part in said.items()
            if part is not None
        }
        return Note(float(note["began"]), parts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotAvailableError(f"What the job said makes no sense: {error!r}.") from error


@dataclass
class Shown:
    """What of one stream has been shown already.

    Args:
        lines: How many lines to show at first; all that there are if None.
    """

    lines: int | None = None
    _upto: int | None = field(default=None, init=False)

    def new(self, part: Part) -> str:
        """What of `part` is to be shown now; a gap in what is known is told."""
        before, self._upto = self._upto, max(part.size, self._upto or 0)
        if before is None:
            return last_lines(part.text.decode("utf-8", "replace"), self.lines)
        more = part.size - before
        if more <= 0:
            return ""
        gap = f"[{more - len(part.text)} bytes left out]\n" if more > len(part.text) else ""
        return gap + part.text[-more:].decode("utf-8", "replace")

    def restart(self) -> None:
        """The job writes from the beginning again."""
        self._upto = 0


def last_lines(text: str, count: int | None) -> str:
    """The last lines of a text; all of it if `count` is None."""
    if count is None:
        return text
    return "".join(text.splitlines(keepends=True)[-count:]) if count else ""
