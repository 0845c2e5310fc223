"""What Slurm says of this pilot's end while it runs: an administrator may move it, or reserve the node for maintenance.

Asked in processes of their own, seldom and without waiting, so that neither a slow controller delays a signal nor many
pilots load it.
"""

from __future__ import annotations

import logging
import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from fallow_pilots.batch.command import clean_environment
from fallow_pilots.batch.model import BatchError
from fallow_pilots.batch.slurm_answers import MOMENT, hosts, parse_reservations

log = logging.getLogger(__name__)

EVERY_S = 600.0
ANSWER_S = 60.0
MOST_BYTES = 1 << 20


def end_time(text: str) -> float | None:
    """Unix time in the answer of `squeue --format=%e` under TZ=UTC; None where it holds none."""
    try:
        return datetime.strptime(text.strip(), MOMENT).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def reserved_from(text: str, node: str, ours: str | None, now: float) -> float | None:
    """Unix time of the first reservation, maintenance among them, that takes the node after `now`.

    Args:
        text: The answer of `scontrol --oneliner show reservation` under TZ=UTC.
        node: Slurm's name of the node.
        ours: The reservation that the pilot runs in.
        now: Unix time.
    """
    try:
        takings = parse_reservations(text, ours, datetime.fromtimestamp(now, timezone.utc))
        moments = [taking.since.timestamp() for taking in takings if node in hosts(taking.nodes)]
    except BatchError as error:
        log.warning("%s", error)
        return None
    return min((moment for moment in moments if moment > now), default=None)


@dataclass
class Question:
    """A command that is asked now and then; its last good answer stands."""

    argv: Sequence[str]
    answer: str | None = None
    _running: subprocess.Popen[str] | None = None
    _since: float = 0.0
    _due: float = field(default_factory=lambda: time.monotonic() + EVERY_S * random.random())  # noqa: S311

    def look(self) -> None:
        """Ask when it is time, and take the answer in when it is there; returns at once."""
        now = time.monotonic()
        if self._running is None:
            if now >= self._due:
                self._due, self._since = now + EVERY_S, now
                self._running = self._ask()
            return
        if self._running.poll() is None:
            if now - self._since > ANSWER_S:
                self._running.kill()
                self._running = None
            return
        if self._running.returncode == 0 and self._running.stdout is not None:
            self.answer = self._running.stdout.read(MOST_BYTES)
        self._running = None

    def _ask(self) -> subprocess.Popen[str] | None:
        try:
            return subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env=clean_environment(),
            )
        except OSError as error:
            log.warning("%s cannot be started: %s", self.argv[0], error)
            return None


class SlurmEnd:
    """The end of this job by Slurm's word.

    Args:
        environment: The batch job's environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        said = environment.get("SLURM_JOB_END_TIME", "")
        self._told = float(said) if said.isdigit() else None
        self._node = environment.get("SLURMD_NODENAME", "")
        self._ours = environment.get("SLURM_JOB_RESERVATION")
        job = environment.get("SLURM_JOB_ID", "")
        self._job = (
            Question(["squeue", "--noheader", f"--jobs={job}", "--format=%e"]) if job.isdigit() else None
        )
        self._reservations = (
            Question(["scontrol", "--oneliner", "show", "reservation"]) if self._node else None
        )

    def look(self, now: float) -> dict[str, float]:
        """What is known now: who says it → unix time."""
        said = {} if self._told is None else {"Slurm": self._told}
        if self._job is not None:
            self._job.look()
            moved = end_time(self._job.answer or "")
            if moved is not None:
                said["Slurm"] = moved
        if self._reservations is not None:
            self._reservations.look()
            if self._reservations.answer is not None:
                taken = reserved_from(self._reservations.answer, self._node, self._ours, now)
                if taken is not None:
                    said["a reservation of the node"] = taken
        return said
