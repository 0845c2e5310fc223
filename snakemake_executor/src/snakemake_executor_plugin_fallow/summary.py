"""What a run did: one line of JSON for each job, and a table for people."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fallow.queue import JobRecord, JobSpec


@dataclass(frozen=True)
class JobSummary:
    """One submission of one job: where it ran, and for how long; None is what nobody knows."""

    key: str
    """What the submission is called in the queue's run."""
    job: str
    """The id in the queue."""
    rule: str
    name: str
    outcome: str
    """`done`, `failed`, `lost` or `removed`."""
    reason: str
    cores: int
    """Cores that the job had for itself."""
    centre: str | None = None
    pilot: str | None = None
    starts: int = 0
    submitted: int | None = None
    started: int | None = None
    finished: int | None = None
    waited_s: int | None = None
    ran_s: int | None = None


def summarise(
    rule: str, spec: JobSpec, job: str, outcome: str, reason: str, record: JobRecord | None
) -> JobSummary:
    """The summary of a submission that has ended; without a record, nobody knows how."""
    bare = JobSummary(spec.key, job, rule, spec.name, outcome, reason, spec.cores)
    if record is None:
        return bare
    return replace(
        bare,
        centre=record.centre,
        pilot=record.pilot,
        starts=record.starts,
        submitted=record.submitted,
        started=record.started,
        finished=record.finished,
        waited_s=record.waited_s,
        ran_s=record.ran_s,
    )


def keys(path: Path) -> list[str]:
    """The keys of the submissions in a run's file; a line that a kill cut off counts for nothing."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found.append(str(json.loads(line)["key"]))
    return found


def append(path: Path, job: JobSummary) -> None:
    """Add a job to the run's file, complete at any moment."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(job)) + "\n")


def table(jobs: Sequence[JobSummary]) -> str:
    """The jobs as a table for people, in the order in which they ended."""
    head = ("job", "rule", "outcome", "centre", "starts", "waited s", "ran s")
    rows = [
        (job.job, job.name or job.rule, job.outcome, *(_shown(value) for value in _facts(job)))
        for job in jobs
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def _facts(job: JobSummary) -> tuple[object, ...]:
    return (job.centre, job.starts, job.waited_s, job.ran_s)


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
