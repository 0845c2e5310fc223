"""`fallow logs`: what a job wrote, also while it runs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from fallow.errors import NotAvailableError, UsageError
from fallow.queue.output import STREAMS, Note, Part, Shown, parse
from fallow.queue.records import JobRecord, JobState

if TYPE_CHECKING:
    from fallow.client import ClientSettings
    from fallow.hub import HubClient
    from fallow.queue.hub import OpenQueue

LOOK_EVERY_S = 2.0


class Reader:
    """Reads what one job of the user wrote, wherever it is now.

    Args:
        settings: The client's settings.
        hub: The hub.
        queue: The user's view of the queue: it has nobody else's jobs.
        job: The job's id.
    """

    def __init__(self, settings: ClientSettings, hub: HubClient, queue: OpenQueue, job: str) -> None:
        self._settings = settings
        self._hub = hub
        self._queue = queue
        self._job = job

    def record(self) -> JobRecord:
        """The job as the queue knows it now.

        Raises:
            UsageError: The user has no such job there.
        """
        for known in self._queue.jobs():
            if known.id == self._job:
                return known
        past = self._queue.history([self._job])
        if past:
            [(key, left)] = past.items()
            raise UsageError(
                f"Job {self._job} ({left.name}) has left the queue: its client has taken the result.",
                remedy=f"A workflow keeps what failed jobs wrote in .snakemake/fallow/{left.run}/{key}.",
            )
        raise UsageError(f"You have no job {self._job} in the queue.", remedy="See: fallow jobs")

    def finished(self) -> dict[str, Part]:
        """Everything that a finished job wrote, from the queue."""
        with tempfile.TemporaryDirectory(prefix="fallow-logs-") as directory:
            self._queue.fetch(self._job, into=Path(directory))
            texts = {stream: (Path(directory) / stream).read_bytes() for stream in STREAMS}
        return {stream: Part(len(text), text) for stream, text in texts.items()}

    def note(self, record: JobRecord) -> Note | None:
        """What a job said last, from the user's own storage; None where it said nothing yet.

        Raises:
            NotAvailableError: The job says nothing while it runs, or not in the federation's storage.
        """
        from fallow.storage.transfer import get_object

        if record.notes is None:
            raise NotAvailableError(
                f"Job {record.id} ({record.name}) does not tell what it writes while it runs.",
                remedy="Its output can be had once it has finished.",
            )
        place, access = urlsplit(record.notes), self._hub.storage()
        if place.netloc != access.bucket:
            raise NotAvailableError(
                f"The job writes into a storage of your own: {record.notes}.", remedy="Read it there."
            )
        text = get_object(access, place.path.lstrip("/"), ca_file=self._settings.ca_file)
        return None if text is None else parse(text)


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@click.option(
    "--lines", "-n", type=click.IntRange(min=0), help="Begin with so many last lines of each stream."
)
@click.option(
    "--stream",
    type=click.Choice([*STREAMS, "all"]),
    default="all",
    show_default=True,
    help="Which stream to show; `all` adds the rule's log files while the job runs.",
)
def logs(job: str, follow: bool, lines: int | None, stream: str) -> None:
    """Print what JOB (an id such as 12.0) wrote to stdout and stderr.

    A job of a workflow tells the end of what it wrote 5 seconds after its start, then every 5 to 30 seconds where there is
    something new; the whole is there when it has finished.
    """
    from fallow.client import client_settings, connect
    from fallow.queue.hub import open_queue

    settings = client_settings()
    hub = connect(settings)
    reader = Reader(settings, hub, open_queue(hub), job)
    _show(reader, follow, lines, stream)


def _show(reader: Reader, follow: bool, lines: int | None, stream: str) -> None:
    shown: dict[str, Shown] = {}
    began: float | None = None
    said = ""

    def print_new(parts: dict[str, Part]) -> None:
        for name, part in parts.items():
            if stream in (name, "all"):
                text = shown.setdefault(name, Shown(lines)).new(part)
                if text and name not in STREAMS:
                    click.echo(f"==> {name} <==")
                click.echo(text, nl=False, err=name == "stderr")

    last: JobRecord | None = None
    while True:
        try:
            record = last = reader.record()
        except UsageError as gone:
            if last is None:
                raise
            # Its client was quicker to take the result; a job's last note is of its end.
            note = reader.note(last)
            print_new(dict(note.parts) if note else {})
            click.echo(gone.what, err=True)
            return
        if record.state is JobState.FINISHED:
            print_new(reader.finished())
            return
        note = reader.note(record) if record.state in (JobState.RUNNING, JobState.HELD) else None
        if note is not None:
            if began is not None and note.began != began:
                click.echo("-- the job was started again --", err=True)
                for each in shown.values():
                    each.restart()
            began = note.began
            print_new(dict(note.parts))
        state = f"Job {record.id} ({record.name}) is {record.state.value}"
        if record.state is JobState.HELD:
            raise UsageError(f"{state}: {record.reason}", remedy="That is all it has told.")
        if not follow:
            if note is None:
                what = "has told nothing yet" if record.state is JobState.RUNNING else "has not started"
                raise NotAvailableError(f"{state} and {what}.", remedy="Wait for it with --follow.")
            return
        if note is None and state != said:
            said = state
            click.echo(f"{state}; waiting for what it writes.", err=True)
        time.sleep(LOOK_EVERY_S)
