"""Traces in the Standard Workload Format of the Parallel Workloads Archive (Feitelson et al., version 2.2)."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from fallow.errors import SettingsError
from fallow_matcher.simulation.workload import Job

_SUBMIT, _RUN, _CORES, _REQUESTED, _GROUP = 1, 3, 4, 8, 12


@dataclass(frozen=True, slots=True)
class Record:
    """What is used of one line; -1 where the trace does not know."""

    submitted_s: float
    run_s: float
    cores: int
    requested_s: float
    group: str


def read(path: Path) -> list[Record]:
    """The jobs of a trace that ran, in its order.

    Args:
        path: The trace, gzipped where its name ends in `.gz`.

    Raises:
        SettingsError: It cannot be read or a line is no record; the message names the line.
    """
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            return [record for record in _records(path, stream) if record.run_s > 0 and record.cores > 0]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read the trace {path}: {error}.", remedy="Name another file.") from error


def _records(path: Path, lines: Iterator[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(";"):
            continue
        words = line.split()
        try:
            submitted_s, run_s, requested_s = (_number(words[field]) for field in (_SUBMIT, _RUN, _REQUESTED))
            yield Record(submitted_s, run_s, int(words[_CORES]), requested_s, words[_GROUP])
        except (ValueError, IndexError) as error:
            raise SettingsError(
                f"{path}, line {number}: {error}.", remedy="Give a trace in the Standard Workload Format."
            ) from error


def _number(word: str) -> float:
    found = float(word)
    if not isfinite(found):
        raise ValueError(f"{word} is no number")
    return found


def deal(records: Sequence[Record], centres: Sequence[str], work_type: str) -> list[Job]:
    """Give each group's jobs to a centre: the group with most work next to the centre with least so far.

    Args:
        records: From `read`.
        centres: The centres, the one with most work first.
        work_type: What the jobs become.
    """
    work: dict[str, float] = defaultdict(float)
    for record in records:
        work[record.group] += record.run_s * record.cores
    dealt = dict.fromkeys(centres, 0.0)
    home: dict[str, str] = {}
    for group in sorted(work, key=lambda name: (-work[name], name)):
        home[group] = min(dealt, key=dealt.__getitem__)
        dealt[home[group]] += work[group]
    return [
        Job(
            home[record.group],
            record.submitted_s,
            record.run_s,
            record.requested_s if record.requested_s > 0 else record.run_s,
            record.cores,
            work_type,
        )
        for record in records
    ]
