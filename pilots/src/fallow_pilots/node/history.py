"""What the jobs of this pilot did, from the history that the startd writes."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from fallow.reports import MAX_RUNS, RunEnd

BANNER = "***"
HELD_BELOW = 1000
"""Codes of a vacated claim below this are those of a hold (HTCondor's table of vacate reason codes)."""
_CLOSING = re.compile(rb"^\*\*\*.*\n", re.MULTILINE)
_VALUE = re.compile(r'^([A-Za-z]\w*) = (?:(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|"([^"\\]*)")$')


@dataclass(frozen=True)
class Run:
    """One job that this pilot ran.

    Args:
        job: Its id in the queue, `<cluster>.<proc>`.
        global_job_id: HTCondor's `GlobalJobId`.
        started: Unix time at which it came.
        ended: Unix time at which it ended.
        wall_s: Seconds that it ran.
        cores: Cores that it held.
        gpus: GPUs that it held.
        end: How it ended.
        exit_code: Its exit code, if it ended by itself and not by a signal.
    """

    job: str
    global_job_id: str
    started: float
    ended: float
    wall_s: float
    cores: int
    gpus: int
    end: RunEnd
    exit_code: int | None = None

    @property
    def finished(self) -> bool:
        """Whether it ended by itself, and not because it was evicted or killed."""
        return self.end in (RunEnd.DONE, RunEnd.FAILED)


def parse(text: str) -> list[Run]:
    """The runs in the history, oldest first; the last entry counts once its closing line is there."""
    runs: list[Run] = []
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith(BANNER):
            runs.append(_run(numbers, words))
            numbers, words = {}, {}
            continue
        found = _VALUE.match(line)
        if found and found[2] is not None:
            numbers[found[1]] = float(found[2])
        elif found:
            words[found[1]] = found[3]
    return runs


@dataclass
class Ran:
    """All that ran: the newest runs, oldest first, and totals over all of them, so that a long life needs no more memory."""

    newest: deque[Run] = field(default_factory=lambda: deque(maxlen=MAX_RUNS))
    count: int = 0
    finished: int = 0
    core_s: float = 0.0

    def add(self, run: Run) -> None:
        """Count one more."""
        self.newest.append(run)
        self.count += 1
        self.finished += run.finished
        self.core_s += run.wall_s * run.cores


class History:
    """Follows the history file: each look reads only what is new.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.ran = Ran()

    def look(self) -> Ran:
        """Take in what has been written, and return what ran so far."""
        try:
            with self._path.open("rb") as stream:
                if stream.seek(0, os.SEEK_END) < self._at:
                    self._at = 0  # HTCondor has begun a new file
                stream.seek(self._at)
                new = stream.read()
        except FileNotFoundError:
            return self.ran
        closed = [line.end() for line in _CLOSING.finditer(new)]
        if closed:
            for run in parse(new[: closed[-1]].decode("utf-8", errors="replace")):
                self.ran.add(run)
            self._at += closed[-1]
        return self.ran


def _run(numbers: dict[str, float], words: dict[str, str]) -> Run:
    started = numbers.get("JobCurrentStartDate", 0.0)
    ended = max(started, numbers.get("CompletionDate", started))
    return Run(
        job=f"{int(numbers.get('ClusterId', 0))}.{int(numbers.get('ProcId', 0))}",
        global_job_id=words.get("GlobalJobId", ""),
        started=started,
        ended=ended,
        wall_s=max(numbers.get("RemoteWallClockTime", 0.0), numbers.get("JobDuration", 0.0)),
        cores=int(numbers.get("CpusProvisioned", 1)),
        gpus=int(numbers.get("GPUsProvisioned", 0)),
        end=_end(numbers),
        exit_code=_exit_code(numbers),
    )


def _end(numbers: dict[str, float]) -> RunEnd:
    # The queue clears the reason of an earlier eviction when the job starts again.
    vacated = numbers.get("VacateReasonCode")
    if vacated is not None:
        return RunEnd.STOPPED if vacated < HELD_BELOW else RunEnd.EVICTED
    if "ExitSignal" in numbers:
        return RunEnd.FAILED
    if "ExitCode" in numbers:
        return RunEnd.DONE if numbers["ExitCode"] == 0 else RunEnd.FAILED
    return RunEnd.NOT_STARTED if numbers.get("StarterExitStatus", 0) else RunEnd.EVICTED


def _exit_code(numbers: dict[str, float]) -> int | None:
    code = numbers.get("ExitCode")
    ended = "VacateReasonCode" not in numbers and "ExitSignal" not in numbers
    return int(code) if ended and code is not None and 0 <= code <= 255 else None
