"""Has a node checked as a pilot would check it: by a short job of its own in the centre's batch system."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fallow.errors import NotAvailableError
from fallow.files import private_directory, read_private
from fallow.messages import Federation
from fallow_pilots.batch.model import BatchJob, JobStatus, Phase, Stop
from fallow_pilots.caps import Lot
from fallow_pilots.centre import Centre
from fallow_pilots.outcome import Code, Outcome, printable
from fallow_pilots.policy import Shape
from fallow_pilots.prepare import batch_job, pilot_spec
from fallow_pilots.watch import read_outcome

POLL_S = 0.5
SETTLE_S = 10.0
"""How long a file may take to be seen here after the job has ended on its node."""
MEMORY_MB = 1024


@dataclass(frozen=True)
class Seen:
    """One thing that the node check looked at."""

    check: str
    good: bool
    words: str


def check_node(centre: Centre, federation: Federation, shape: Shape, wait_s: float) -> tuple[str, list[Seen]]:
    """Have one node that could take a pilot of `shape` checked; the job asks for one core, and the shape's GPUs.

    Returns:
        The node's name, and what was found there.

    Raises:
        NotAvailableError: No node took the job in `wait_s` seconds, or it left no findings.
    """
    policy, layout = centre.policy, centre.layout
    name = f"{policy.identity.centre}-check-{os.getpid()}"
    size = shape.model_copy(
        update={"cores": 1, "memory_mb": min(MEMORY_MB, shape.memory_mb), "disk_mb": 0, "nodes": 1}
    )
    lot = Lot(size, policy.pilot.min_walltime_s, 1)
    directory = layout.spec(name).parent
    private_directory(directory)
    try:
        job = batch_job(policy, layout, name, lot, None)
        findings = directory / "findings.json"
        told = pilot_spec(policy, layout, name, lot, federation)
        told.model_copy(update={"findings_file": findings}).write(job.spec)
        job.script.write_text(centre.batch.script(job), encoding="utf-8")
        job.script.chmod(0o700)
        last = _run(centre, job, wait_s)
        seen, outcome = _wait_for(centre, name)
        if outcome is None or (not seen and outcome.code < Code.BANNED):
            raise NotAvailableError(
                f"The node check left no findings: {_tail(centre, name)}",
                remedy="Do compute nodes see state_dir and assume.node_command?",
            )
        if not seen:
            seen = [Seen("programs", False, outcome.reason)]
        return (last.node if last and last.node else "unknown"), seen
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(centre: Centre, job: BatchJob, wait_s: float) -> JobStatus | None:
    """Submit the job and wait for its end; the last that was seen of it while it ran."""
    deadline = time.monotonic() + wait_s
    native_id = centre.batch.submit(job)
    last: JobStatus | None = None
    detail = "unknown"
    while time.monotonic() < deadline:
        found = [status for status in centre.batch.status([job.name]) if status.name == job.name]
        for status in found:
            detail = status.detail
            if status.node:
                last = status
        if not found or found[-1].phase is Phase.ENDED:  # only then can a pilot have the node
            return last
        time.sleep(POLL_S)
    centre.batch.stop([native_id], Stop.KILL)
    raise NotAvailableError(
        f"No node ended the check in {wait_s:.0f} s; the job was {detail} and has been removed.",
        remedy="Try again when a node is free, wait longer with --wait-s, or leave it out with --no-node.",
    )


def _wait_for(centre: Centre, name: str) -> tuple[list[Seen], Outcome | None]:
    """What the job left, which on a shared file system may come late."""
    path = centre.layout.outcome(name)
    deadline = time.monotonic() + SETTLE_S
    while (outcome := read_outcome(path)) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    text = read_private(path.with_name("findings.json"))
    found: list[Sequence[object]] = json.loads(text) if text else []
    return [Seen(str(check), bool(good), printable(str(words))) for check, good, words in found], outcome


def _tail(centre: Centre, name: str) -> str:
    path = centre.layout.log(name)
    text = printable(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else ""
    return text.strip()[-300:] or "its log is empty."
