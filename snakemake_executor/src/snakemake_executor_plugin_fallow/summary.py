"""What each job of a run did: one line of JSON for each submission that has ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from fallow.queue import JobRecord, JobSpec
from snakemake_executor_plugin_fallow.notes import Note


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
    memory_mb: int | None = None
    """Memory that it asked for."""
    walltime_s: int | None = None
    """Time that it asked for."""
    used_cpu_s: float | None = None
    """CPU time of all its processes, Snakemake's own start included."""
    used_mb: float | None = None
    """The most memory that its processes held together."""


def summarise(
    rule: str, spec: JobSpec, job: str, outcome: str, reason: str, record: JobRecord | None
) -> JobSummary:
    """The summary of a submission that has ended; without a record, nobody knows how."""
    bare = JobSummary(
        spec.key, job, rule, spec.name, outcome, reason, spec.cores,
        memory_mb=spec.memory_mb, walltime_s=spec.walltime_s,
    )  # fmt: skip
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


def with_note(job: JobSummary, note: Note | None) -> JobSummary:
    """The summary with what the job said that it used."""
    return job if note is None else replace(job, used_cpu_s=note.cpu_s, used_mb=note.memory_mb)


def read(path: Path) -> list[JobSummary]:
    """The submissions in a run's file, in the order in which they ended; a line that a kill cut off counts for nothing."""
    known = {field.name for field in fields(JobSummary)}
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, TypeError):
            values = json.loads(line)
            if isinstance(values, Mapping):
                found.append(JobSummary(**{name: value for name, value in values.items() if name in known}))
    return found


def append(path: Path, job: JobSummary) -> None:
    """Add a job to the run's file, complete at any moment."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(job)) + "\n")
