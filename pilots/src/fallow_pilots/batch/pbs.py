"""PBS Professional 18 and later and OpenPBS, through their commands.

A finished job is asked for by its name, because the history may hold thousands. Moments are printed in local time, so the
commands run with UTC.
"""

from __future__ import annotations

import logging
import os
import pwd
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from fallow_pilots.batch import pbs_answers as answers
from fallow_pilots.batch.command import run, tell
from fallow_pilots.batch.model import BatchError, BatchJob, Hole, JobStatus, Node, Phase, Spare, Stop
from fallow_pilots.policy import Batch

log = logging.getLogger(__name__)

ON_EACH_NODE = 'FALLOW_NODE="$PBS_NODENUM" FALLOW_NODES={} exec "$0" "$@"'
"""Tells a pilot which of the job's nodes it is on."""
ASKED_AT_ONCE = 20
"""Pilots that left the queue and are looked up in the history in one look."""


def script_text(job: BatchJob) -> str:
    """The batch script: nothing but the start of the pilot, on each of its nodes, unless it comes too late."""
    start = [str(job.node_command), "--spec", str(job.spec)]
    if job.nodes > 1:
        start = ["pbsdsh", "--", "/bin/sh", "-c", ON_EACH_NODE.format(job.nodes), *start]
    lines = ["#!/bin/sh"]
    if job.deadline is not None:
        latest = int(job.deadline.timestamp()) - job.walltime_s
        lines.append(f'if [ "$(date +%s)" -gt {latest} ]; then echo "too late to start"; exit 0; fi')
    lines.append(f"exec {' '.join(map(shlex.quote, start))}")
    return "\n".join(lines) + "\n"


def submit_argv(settings: Batch, job: BatchJob) -> list[str]:
    """The `qsub` command for one pilot."""
    chunk = f"{job.nodes}:ncpus={job.cores}:mem={job.memory_mb}mb"
    if job.gpus:
        chunk += f":ngpus={job.gpus}"
        chunk += f":gpu_model={job.gpu_model}" if job.gpu_model else ""
    minutes, seconds = divmod(job.walltime_s, 60)
    return [
        "qsub",
        "-N",
        job.name,
        *(["-q", settings.partition] if settings.partition else []),
        *(["-A", settings.account] if settings.account else []),
        "-r",
        "n",
        "-j",
        "oe",
        "-k",
        "doe",
        "-o",
        str(job.log),
        "-l",
        f"select={chunk}",
        *(["-l", "place=scatter"] if job.nodes > 1 else []),
        "-l",
        f"walltime={minutes // 60:02}:{minutes % 60:02}:{seconds:02}",
        str(job.script),
    ]


class PBS:
    """A PBS complex, as the launcher's user sees it."""

    programs: tuple[str, ...] = ("qsub", "qstat", "qselect", "qsig", "qdel", "pbsnodes", "pbs_rstat")

    def __init__(self, settings: Batch, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix
        self._user = pwd.getpwuid(os.geteuid()).pw_name

    def script(self, job: BatchJob) -> str:
        """Text of the batch script."""
        return script_text(job)

    def submit_argv(self, job: BatchJob) -> list[str]:
        """The command that submits `job`."""
        return submit_argv(self._settings, job)

    def submit(self, job: BatchJob) -> str:
        """Submit `job` and return its native id."""
        return answers.parse_submit(run(self.submit_argv(job)))

    def status(self, names: Collection[str]) -> list[JobStatus]:
        """All our jobs that have not ended, and of those that have what the history says."""
        jobs = self._jobs()
        forgotten = sorted(set(names) - {job.name for job in jobs})
        return jobs + [job for name in forgotten[:ASKED_AT_ONCE] for job in self._remembered(name)]

    def _jobs(self) -> list[JobStatus]:
        found = answers.parse_ids(run(["qselect", "-u", self._user]))
        if not found:
            answers.check_server(run(["qstat", "-B", "-f", "-F", "json"]))
            return []
        jobs = answers.parse_jobs(run(["qstat", "-f", "-F", "json", *found]))
        return [job for job in jobs if job.name.startswith(self._prefix)]

    def _remembered(self, name: str) -> list[JobStatus]:
        try:
            found = answers.parse_ids(run(["qselect", "-x", "-u", self._user, "-N", name]))
            if not found:
                return []
            jobs = answers.parse_jobs(run(["qstat", "-x", "-f", "-F", "json", *found]))
            return [job for job in jobs if job.name == name]
        except BatchError as error:
            log.debug("no history: %s", error)
            return []

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        """Signal or delete jobs; `qstat` tells afterwards what came of it."""
        if not native_ids:
            return
        known = {job.native_id: job.phase for job in self._jobs()}
        if how is Stop.KILL:
            tell(["qdel"], [one for one in native_ids if one in known])
            return
        signal = {Stop.DRAIN: "SIGUSR1", Stop.EVICT: "SIGTERM"}[how]
        tell(["qsig", "-s", signal], [one for one in native_ids if known.get(one) is Phase.RUNNING])

    def spare(
        self,
        *,
        count_waiting: bool,
        partitions: Sequence[str],
        hole: Hole | None = None,  # noqa: ARG002 - PBS tells a start for jobs in its queue only
    ) -> Spare:
        """Nodes of the queue with room, and the number of local jobs that wait."""
        text = run(["pbsnodes", "-a", "-F", "json"])
        nodes = answers.parse_nodes(text, self._settings.partition)
        if answers.reserved_at_all(text):
            nodes = self._until_reserved(nodes)
        return Spare(nodes, self._waiting(partitions) if count_waiting else None)

    @staticmethod
    def _until_reserved(nodes: Sequence[Node]) -> tuple[Node, ...]:
        taken: dict[str, datetime] = {}
        for reservation in answers.parse_reservations(run(["pbs_rstat", "-F"])):
            for name in reservation.nodes:
                taken[name] = min(reservation.since, taken.get(name, reservation.since))
        return tuple(replace(node, free_until=taken.get(node.name)) for node in nodes)

    def _waiting(self, partitions: Sequence[str]) -> int:
        queues = answers.parse_queues(run(["qstat", "-Q", "-f", "-F", "json"]))
        waiting = sum(count for name, count in queues.items() if not partitions or name in partitions)
        if partitions and self._settings.partition not in partitions:
            return waiting
        return max(0, waiting - sum(job.detail.split()[0] == "Q" for job in self._jobs()))
