"""A single machine without a batch system: pilots are processes of the launcher's user, found through /proc.

The native id is `<pid>-<start time in clock ticks>`, so a reused pid is never taken for a pilot. A pilot ends
itself at its walltime; nothing else on such a machine would.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from fallow_pilots.batch.command import run
from fallow_pilots.batch.model import BatchError, BatchJob, Hole, JobStatus, Node, Phase, Spare, Stop
from fallow_pilots.layout import PilotFiles

PROC = Path("/proc")
APPEAR_S = 10.0
SIGNALS = {Stop.DRAIN: signal.SIGUSR1, Stop.EVICT: signal.SIGTERM, Stop.KILL: signal.SIGKILL}


def script_text(job: BatchJob) -> str:
    """The script that becomes the pilot; its path, then the spec's, is how the process is found again."""
    argv = [str(job.node_command), "--spec", str(job.spec)]
    log = shlex.quote(str(job.log))
    return f"#!/bin/sh\nexec {' '.join(map(shlex.quote, argv))} >>{log} 2>&1 </dev/null\n"


def parse_stat(text: str) -> tuple[str, int, int]:
    """State letter, session and start time in clock ticks from `/proc/<pid>/stat`, whatever the name."""
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[3]), int(fields[19])


class Fork:
    """This machine."""

    programs: tuple[str, ...] = ("setsid",)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def script(self, job: BatchJob) -> str:
        """Text of the script."""
        return script_text(job)

    def submit_argv(self, job: BatchJob) -> list[str]:
        """The command that starts `job`."""
        return ["setsid", "--fork", "/bin/sh", str(job.script)]

    def submit(self, job: BatchJob) -> str:
        """Start `job` in a session of its own and wait until it can be seen."""
        run(self.submit_argv(job))
        deadline = time.monotonic() + APPEAR_S
        while time.monotonic() < deadline:
            for status in self.status([job.name]):
                if status.name == job.name:
                    return status.native_id
            time.sleep(0.05)
        raise BatchError(f"The process of pilot {job.name} did not appear, or ended in less than a second.")

    def status(self, names: Collection[str]) -> list[JobStatus]:  # noqa: ARG002 - /proc knows them all
        """All pilots that run here."""
        return list(self._running())

    def _running(self) -> Iterator[JobStatus]:
        booted = _boot_time()
        ticks = os.sysconf("SC_CLK_TCK")
        for entry in PROC.iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if entry.stat().st_uid != os.geteuid():
                    continue
                state, session, started = parse_stat((entry / "stat").read_text(errors="replace"))
                arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except (OSError, ValueError, IndexError):
                continue  # it ended while we looked
            name = self._name(arguments)
            if name is None or state in {"Z", "X"} or session != int(entry.name):
                continue
            moment = datetime.fromtimestamp(booted + started / ticks, tz=timezone.utc)
            yield JobStatus(name, f"{entry.name}-{started}", Phase.RUNNING, "running", moment, "localhost")

    def _name(self, arguments: Sequence[str]) -> str | None:
        """The pilot whose script or node command has these arguments; a file that somebody merely looks at is no pilot."""
        for before, argument in zip(arguments, arguments[1:]):
            path = Path(argument)
            ours = (before == "--spec" and path.name == "spec.json") or (
                before == "/bin/sh" and path.name == "pilot.sh"
            )
            name = PilotFiles.job_name(path.parent.name)
            if ours and name.startswith(self._prefix):
                return name
        return None

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        """Signal the pilots' processes; `KILL` reaches their whole process group."""
        alive = {job.native_id for job in self._running()}
        for native_id in set(native_ids) & alive:
            pid = int(native_id.partition("-")[0])
            try:
                if how is Stop.KILL:
                    os.killpg(pid, SIGNALS[how])
                else:
                    os.kill(pid, SIGNALS[how])
            except ProcessLookupError:
                continue

    def spare(
        self,
        *,
        count_waiting: bool,
        partitions: Sequence[str],  # noqa: ARG002 - no queue here
        hole: Hole | None = None,  # noqa: ARG002
    ) -> Spare:
        """The cores that the load of the last minute leaves; idle while no pilot runs."""
        cores = len(os.sched_getaffinity(0))
        free = max(0, cores - math.ceil(os.getloadavg()[0] - 0.5))
        found = re.search(r"^MemAvailable:\s+([0-9]+) kB", (PROC / "meminfo").read_text(), re.MULTILINE)
        memory_mb = int(found.group(1)) // 1024 if found else 0
        node = Node("localhost", free, memory_mb, 0, idle=not any(True for _ in self._running()))
        return Spare((node,), 0 if count_waiting else None)


def _boot_time() -> int:
    found = re.search(r"^btime ([0-9]+)", (PROC / "stat").read_text(), re.MULTILINE)
    if found is None:
        raise BatchError("/proc/stat does not say when this machine was started.")
    return int(found.group(1))
