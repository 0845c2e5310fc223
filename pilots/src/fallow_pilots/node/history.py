"""What the jobs of this pilot did, from the history that the startd writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BANNER = "***"
_NUMBER = re.compile(r"^([A-Za-z]\w*) = (-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)$")


@dataclass(frozen=True)
class Run:
    """One job that this pilot ran.

    Args:
        wall_s: Seconds that it ran.
        cores: Cores that it held.
        finished: Whether it ended by itself, and not because it was evicted or killed.
    """

    wall_s: float
    cores: int
    finished: bool


def parse(text: str) -> list[Run]:
    """The runs in the history, oldest first; the last entry counts once its closing line is there."""
    runs: list[Run] = []
    numbers: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith(BANNER):
            runs.append(_run(numbers))
            numbers = {}
        else:
            found = _NUMBER.match(line)
            if found:
                numbers[found.group(1)] = float(found.group(2))
    return runs


def read(path: Path) -> list[Run]:
    """The runs in the history file; none where it does not exist."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []


def _run(numbers: dict[str, float]) -> Run:
    return Run(
        wall_s=max(numbers.get("RemoteWallClockTime", 0.0), numbers.get("JobDuration", 0.0)),
        cores=int(numbers.get("CpusProvisioned", 1)),
        # The queue clears the reason of an earlier eviction when the job starts again.
        finished="ExitCode" in numbers and "VacateReasonCode" not in numbers,
    )
