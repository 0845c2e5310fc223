"""What a run did: one line of JSON for each job, and a table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fallow.queue import JobRecord


@dataclass(frozen=True)
class JobSummary:
    """One submission of one job: where it ran, and for how long."""

    job: str
    """The id in the queue."""
    rule: str
    name: str
    outcome: str
    """`done`, `failed`, `lost` or `removed`."""
    reason: str
    centre: str | None
    pilot: str | None
    starts: int
    cores: int
    """Cores that the job had for itself."""
    submitted: int | None
    started: int | None
    finished: int | None
    waited_s: int | None
    ran_s: int | None


def summarise(rule: str, cores: int, outcome: str, reason: str, record: JobRecord) -> JobSummary:
    """The summary of a job that has ended."""
    return JobSummary(
        job=record.id,
        rule=rule,
        name=record.name,
        outcome=outcome,
        reason=reason,
        centre=record.centre,
        pilot=record.pilot,
        starts=record.starts,
        cores=cores,
        submitted=record.submitted,
        started=record.started,
        finished=record.finished,
        waited_s=record.waited_s,
        ran_s=record.ran_s,
    )


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
