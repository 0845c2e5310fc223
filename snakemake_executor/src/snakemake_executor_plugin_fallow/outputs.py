"""What failed jobs wrote, as files that their user can open."""

from __future__ import annotations

import logging
from pathlib import Path

from fallow.errors import FallowError
from snakemake_executor_plugin_fallow.notes import Notes
from snakemake_executor_plugin_fallow.queuelike import QueueLike

log = logging.getLogger(__name__)

STREAMS = ("stdout", "stderr")


class Outputs:
    """The outputs of one run's jobs, in a folder for each submission.

    Args:
        queue: Has what ended jobs wrote.
        notes: Where jobs say how they get on, if they do.
        directory: The run's folder.
    """

    def __init__(self, queue: QueueLike, notes: Notes | None, directory: Path) -> None:
        self._queue = queue
        self._notes = notes
        self._directory = directory

    def fetch(self, job: str, key: str) -> tuple[Path, ...]:
        """What a job that ended wrote: its stdout, and last its stderr; nothing where the queue has none."""
        directory = self._folder(key)
        try:
            self._queue.fetch(job, into=directory)
        except FallowError as error:
            log.info("no output of job %s: %s", job, error)
        found = tuple(directory / name for name in STREAMS)
        return found if all(path.is_file() for path in found) else ()

    def last_words(self, key: str) -> tuple[Path, ...]:
        """What a job that was killed said before: its logs, its stdout, and last its stderr."""
        note = self._notes.read(key) if self._notes else None
        if note is None:
            return ()
        directory = self._folder(key)
        names = [*(name for name in note.said if name not in STREAMS), *STREAMS]
        files = []
        for number, name in enumerate(names):
            path = directory / (name if name in STREAMS else f"log-{number}-{Path(name).name}")
            path.write_text(note.said.get(name, ""), encoding="utf-8")
            files.append(path)
        return tuple(files)

    def _folder(self, key: str) -> Path:
        directory = self._directory / key
        directory.mkdir(parents=True, exist_ok=True)
        return directory
