"""`fallow jobs` and `fallow logs`: what a person asks about jobs in the queue."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from fallow.errors import UsageError
from fallow.output import show
from fallow.queue.records import JobRecord, JobState


@click.command()
@click.option("--run", help="Only the jobs of this run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def jobs(run: str | None, as_json: bool) -> None:
    """List your jobs in the queue."""
    from fallow.client import connect
    from fallow.queue.hub import open_queue

    rows = [_row(job) for job in open_queue(connect()).jobs(run)]
    columns = ["id", "run", "name", "state", "centre", "starts", "waited_s", "ran_s", "reason"]
    show(rows, columns, as_json=as_json)


@click.command()
@click.argument("job")
def logs(job: str) -> None:
    """Print what JOB (an id such as 12.0) wrote to stdout and stderr, once it has finished."""
    from fallow.client import connect
    from fallow.queue.hub import open_queue

    queue = open_queue(connect())
    found = [known for known in queue.jobs() if known.id == job]
    if not found:
        raise UsageError(f"You have no job {job} in the queue.", remedy="See: fallow jobs")
    if found[0].state is not JobState.FINISHED:
        raise UsageError(
            f"Job {job} is {found[0].state.value}.", remedy="Its output can be had once it has finished."
        )
    with tempfile.TemporaryDirectory(prefix="fallow-logs-") as directory:
        queue.fetch(job, into=Path(directory))
        for stream in ("stdout", "stderr"):
            text = (Path(directory) / stream).read_text(encoding="utf-8", errors="replace")
            click.echo(text, nl=False, err=stream == "stderr")


def _row(job: JobRecord) -> dict[str, object]:
    return {**asdict(job), "state": job.state.value, "waited_s": job.waited_s, "ran_s": job.ran_s}
