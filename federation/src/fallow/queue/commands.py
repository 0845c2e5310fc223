"""`fallow jobs`: what a person asks about jobs in the queue."""

from __future__ import annotations

from dataclasses import asdict

import click

from fallow.output import show
from fallow.queue.records import JobRecord


@click.command()
@click.option("--run", help="Only the jobs of this run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def jobs(run: str | None, as_json: bool) -> None:
    """List your jobs in the queue."""
    from fallow.client import connect
    from fallow.queue.hub import open_queue

    queue = open_queue(connect())
    rows = [_row(job) for job in queue.jobs(run)]
    columns = ["id", "run", "name", "state", "centre", "starts", "waited_s", "ran_s", "reason"]
    show(rows, columns, as_json=as_json)
    for name in queue.silent:
        click.echo(f"{name} does not answer: its jobs are not listed. Those that run go on.", err=True)


def _row(job: JobRecord) -> dict[str, object]:
    return {**asdict(job), "state": job.state.value, "waited_s": job.waited_s, "ran_s": job.ran_s}
