r"""A centre's own jobs as Slurm's accounting has them.

    sacct -aXP -S 2026-10-01 -E 2026-11-01 \
        --format=JobID,Submit,Start,ElapsedRaw,TimelimitRaw,AllocCPUS,AllocTRES,State

Columns are found by their names in the first line; more of them do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fallow.errors import SettingsError
from fallow_matcher.simulation.workload import Job

NEEDED = ("Submit", "ElapsedRaw", "AllocCPUS")
_GPUS = re.compile(r"(?:^|,)gres/gpu(?::([^=,]+))?=(\d+)")
_NOT_ENDED = ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED")


@dataclass(frozen=True)
class Dump:
    """What a dump says."""

    jobs: list[Job]
    """The jobs that ran, in the order of time."""
    skipped: int
    """Lines of steps, and of jobs that did not run or have not ended."""
    waited_s: float | None
    """The mean wait that the dump itself tells; None where it has no `Start`."""


def read(path: Path, centre: str) -> Dump:
    """Read a dump.

    Args:
        path: The file.
        centre: Whose jobs they are.

    Raises:
        SettingsError: It cannot be read, or a line is not what sacct writes; the message names the line.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            return _dump(path, stream, centre)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read the dump {path}: {error}.", remedy="Name another file.") from error


def _dump(path: Path, lines: Iterable[str], centre: str) -> Dump:
    columns: list[str] = []
    jobs: list[Job] = []
    waits: list[float] = []
    skipped = 0
    for number, line in enumerate(lines, start=1):
        words = line.rstrip("\n").split("|")
        if not columns:
            columns = words
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise _wrong(path, number, f"no column {', '.join(missing)}")
            continue
        if not line.strip():
            continue
        if len(words) != len(columns):
            raise _wrong(path, number, f"{len(words)} fields where the first line names {len(columns)}")
        row = dict(zip(columns, words, strict=True))
        try:
            found = _job(row, centre)
            if found is None:
                skipped += 1
                continue
            jobs.append(found)
            if row.get("Start", "Unknown") not in ("Unknown", "None", ""):
                waits.append(max(0.0, _moment(row["Start"]) - found.submitted_s))
        except ValueError as error:
            raise _wrong(path, number, str(error)) from error
    if not jobs:
        raise SettingsError(
            f"{path} has no job that ran.",
            remedy="Give the output of sacct -aXP; see docs/reference/simulate.md.",
        )
    jobs.sort(key=lambda job: job.submitted_s)
    return Dump(jobs, skipped, sum(waits) / len(waits) if waits else None)


def _job(row: Mapping[str, str], centre: str) -> Job | None:
    if "." in row.get("JobID", "") or row.get("State", "").startswith(_NOT_ENDED):
        return None
    wall_s, cores = _count(row, "ElapsedRaw"), _count(row, "AllocCPUS")
    if not wall_s or not cores:
        return None
    submitted_s = _moment(row["Submit"])
    limit = row.get("TimelimitRaw", "")
    requested_s = 60.0 * int(limit) if limit.isdecimal() and int(limit) else float(wall_s)
    gpus = _GPUS.findall(row.get("AllocTRES", ""))
    if not gpus:
        return Job(centre, submitted_s, wall_s, requested_s, cores)
    # Slurm lists GPUs in all and by model; the model tells more.
    model, count = next((found for found in gpus if found[0]), gpus[0])
    units = int(count)
    return Job(
        centre,
        submitted_s,
        wall_s,
        requested_s,
        max(1, units),
        "",
        re.sub("[^a-z0-9]+", "-", model.lower()) or "gpu",
    )


def _count(row: Mapping[str, str], name: str) -> int:
    if not row[name].isdecimal():
        raise ValueError(f"{name} is {row[name]!r}, not a whole number")
    return int(row[name])


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment like 2026-11-21T08:30:00") from error


def _wrong(path: Path, number: int, what: str) -> SettingsError:
    return SettingsError(
        f"{path}, line {number}: {what}.",
        remedy=f"Give the output of sacct -aXP with at least {', '.join(NEEDED)}.",
    )
