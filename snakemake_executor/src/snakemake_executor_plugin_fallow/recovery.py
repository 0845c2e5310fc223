"""After a kill: what Snakemake would stumble over is put right before it looks.

Snakemake finds its own locks, and marks of outputs as incomplete although their jobs ended well meanwhile, and stops. This
runs when the plugin's settings are made, which is before Snakemake builds its graph, and only where a run was killed.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fallow.queue import JobRecord, JobState
from snakemake_executor_plugin_fallow import runs

log = logging.getLogger(__name__)

Lookup = Callable[[str, Sequence[str]], Mapping[str, JobRecord]]
"""Gives what is known of a run's jobs, by id: `lookup(run, ids)`."""

_COMES_OR_CAME = (JobState.STAGING, JobState.WAITING, JobState.RUNNING)


def working_directory(arguments: Sequence[str]) -> Path:
    """Where Snakemake will work: the present directory, unless the command line says otherwise."""
    found = Path.cwd()
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == "--directory" and equals:
            found = Path(value)
        elif word in ("--directory", "-d") and position + 1 < len(arguments):
            found = Path(arguments[position + 1])
    return found


def recover(lookup: Lookup, directory: Path | None = None) -> None:
    """Put right what killed runs left in Snakemake's directory.

    The mark of an output is removed where its job ended well, so the output is whole, and where its job is still in the
    queue, because this call will find it again; the marks of failed and lost jobs stay.

    Args:
        lookup: Asks the queue.
        directory: The workflow's working directory.
    """
    at = (directory or working_directory(sys.argv[1:])) / ".snakemake"
    killed = runs.killed(at / "fallow")
    if not killed:
        return
    marks = {path: job for path in _files(at / "incomplete") if (job := _job_of(path)) is not None}
    for run in killed:
        runs.remove_locks(at / "fallow", run)
        known = lookup(run, sorted(set(marks.values())))
        for path, job in list(marks.items()):
            record = known.get(job)
            if record is not None and (record.succeeded or record.state in _COMES_OR_CAME):
                path.unlink(missing_ok=True)
                del marks[path]
    log.warning("taking up the run %s, whose Snakemake was killed", killed[0])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _job_of(mark: Path) -> str | None:
    """The job id in a mark of Snakemake's `incomplete` directory."""
    try:
        job = json.loads(mark.read_text(encoding="utf-8")).get("external_jobid")
    except (OSError, ValueError, AttributeError):
        return None
    return job if isinstance(job, str) else None


def recover_here() -> None:
    """`recover` in the directory where Snakemake is going to work, with the configured hub's queue.

    Raises:
        WorkflowError: A run was killed here and the queue cannot be asked about it.
    """
    from snakemake_interface_common.exceptions import WorkflowError

    from fallow.errors import FallowError

    try:
        recover(_ask)
    except FallowError as error:
        raise WorkflowError(f"What became of the killed run's jobs cannot be found out. {error}") from error


def _ask(run: str, ids: Sequence[str]) -> Mapping[str, JobRecord]:
    from fallow.client import connect
    from fallow.queue.hub import open_queue

    queue = open_queue(connect())
    found = {record.id: record for record in queue.status(run).values()}
    gone = [job for job in ids if job not in found]
    return {**{record.id: record for record in queue.history(gone).values()}, **found}
