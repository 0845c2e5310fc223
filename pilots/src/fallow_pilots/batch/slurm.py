"""Slurm 20.11 and later, through its commands.

Slurm's warnings go to every process of a job's steps, and not to the batch script (scancel(1)); a pilot of one node runs in
the script and has them from a step of its own (`fallow_pilots.node.sentinel`), so that none hits a payload. On several
nodes a step starts one pilot on each: there a warning reaches the payloads too.
"""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from fallow_pilots.batch import slurm_answers as answers
from fallow_pilots.batch.command import run, tell
from fallow_pilots.batch.model import BatchError, BatchJob, Hole, JobStatus, Node, Spare, Stop
from fallow_pilots.policy import Batch

log = logging.getLogger(__name__)

NOW = timedelta(seconds=60)
"""A job that would start within this time starts now."""
RESERVATION = "--reservation="


def script_text(job: BatchJob) -> str:
    """The batch script: nothing but the start of the pilot, on each of its nodes."""
    argv = [str(job.node_command), "--spec", str(job.spec)]
    if job.nodes > 1:
        step = ["srun", f"--nodes={job.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={job.cores}"]
        argv = [*step, "--mpi=none", "--export=ALL", "--kill-on-bad-exit=0", "--wait=0", *argv]
    return f"#!/bin/sh\nexec {' '.join(map(shlex.quote, argv))}\n"


def shape_argv(settings: Batch, asked: BatchJob | Hole, nodes: int) -> list[str]:
    """The options that say what is asked for, and of whom."""
    model = f"{asked.gpu_model}:" if asked.gpu_model else ""
    optional = [
        ("partition", settings.partition),
        ("account", settings.account),
        ("qos", settings.qos),
        ("constraint", "&".join(settings.features) or None),
        ("gpus-per-node", f"{model}{asked.gpus}" if asked.gpus else None),
    ]
    return [
        f"--nodes={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={asked.cores}",
        f"--mem={asked.memory_mb}M",
        f"--time={max(1, asked.walltime_s // 60)}",
        *(f"--{name}={value}" for name, value in optional if value is not None),
        *settings.options,
    ]


def submit_argv(settings: Batch, job: BatchJob) -> list[str]:
    """The `sbatch` command for one pilot."""
    return [
        "sbatch",
        "--parsable",
        "--export=NONE",
        "--no-requeue",
        f"--job-name={job.name}",
        f"--signal=USR1@{job.drain_grace_s}",
        f"--output={job.log}",
        "--open-mode=append",
        f"--chdir={job.log.parent}",
        *([f"--deadline={job.deadline.strftime(answers.MOMENT)}"] if job.deadline else []),
        *shape_argv(settings, job, job.nodes),
        str(job.script),
    ]


def probe_argv(settings: Batch, hole: Hole, pilots: int) -> list[str]:
    """The `sbatch` command that says when so many pilots would start together."""
    return ["sbatch", "--test-only", *shape_argv(settings, hole, pilots * hole.nodes), "--wrap=true"]


def until_taken(nodes: Iterable[Node], takings: Iterable[answers.Taking]) -> tuple[Node, ...]:
    """The nodes, each with the moment at which the first of the takings gets it."""
    taken: dict[str, datetime] = {}
    for taking in takings:
        for host in answers.hosts(taking.nodes):
            taken[host] = min(taking.since, taken.get(host, taking.since))
    return tuple(replace(node, free_until=taken[node.name]) if node.name in taken else node for node in nodes)


def fits_plan(hole: Hole, nodes: Iterable[Node], planned: Collection[str], now: datetime) -> int:
    """Pilots that are gone from idle nodes in `planned` before the job to come takes them."""
    end = now + timedelta(seconds=hole.walltime_s)
    fit = [
        node
        for node in nodes
        if node.name in planned
        and node.free_until is not None
        and node.free_until >= end
        and node.cores_free >= hole.cores
        and node.memory_mb_free >= hole.memory_mb
        and node.gpus_free_of(hole.gpu_model) >= hole.gpus
    ]
    return min(hole.most, len(fit) // hole.nodes)


class Slurm:
    """A Slurm cluster, as the launcher's user sees it."""

    programs: tuple[str, ...] = ("sbatch", "squeue", "sinfo", "scancel", "scontrol")

    def __init__(self, settings: Batch, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix

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
        """All our jobs that `squeue` knows, and from an accounting, where there is one, those it forgot."""
        text = run(["squeue", "--all", "--me", "--states=all", f"--format={answers.JOB_FIELDS}"])
        jobs = [job for job in answers.parse_jobs(text) if job.name.startswith(self._prefix)]
        forgotten = sorted(set(names) - {job.name for job in jobs})
        return jobs + self._accounted(forgotten)

    def _accounted(self, names: Sequence[str]) -> list[JobStatus]:
        if not names or shutil.which("sacct") is None:
            return []
        argv = [
            "sacct",
            "--allocations",
            "--parsable2",
            f"--format={answers.ACCOUNTING_FIELDS}",
            "--starttime=now-7days",
        ]
        try:
            return [
                job
                for job in answers.parse_accounting(run([*argv, f"--name={','.join(names)}"]))
                if job.name in names
            ]
        except BatchError as error:
            log.debug("no accounting: %s", error)
            return []

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        """Signal or cancel jobs; `squeue` tells afterwards what came of it."""
        if not native_ids:
            return
        if how is Stop.KILL:
            run(["scancel", "--quiet", *native_ids])
            return
        # Unlike a cancellation, a signal to a job that has ended is an error to scancel.
        signal = {Stop.DRAIN: "USR1", Stop.EVICT: "TERM"}[how]
        tell(["scancel", "--quiet", f"--signal={signal}"], native_ids)

    def spare(self, *, count_waiting: bool, partitions: Sequence[str], hole: Hole | None = None) -> Spare:
        """Nodes of the partition with room, and the number of local jobs that wait."""
        now = datetime.now(timezone.utc)
        text = self._sinfo(answers.NODE_FIELDS)
        nodes = self._with_features(answers.parse_nodes(text, planned_too=hole is not None))
        takings = self._reserved(now)
        if hole is not None:
            takings += self._planned()
        nodes = until_taken(nodes, takings)
        nodes = tuple(node for node in nodes if node.free_until is None or node.free_until > now)
        waiting = None
        if count_waiting:
            listed = run(["squeue", "--all", "--states=PENDING", f"--format={answers.WAITING_FIELDS}"])
            waiting = answers.parse_waiting(listed, partitions, self._prefix)
        if hole is None:
            return Spare(nodes, waiting)
        hole = replace(hole, most=min(hole.most, len(nodes) // hole.nodes))
        plain = {node.name for node in answers.parse_nodes(text)}
        by_plan = fits_plan(hole, nodes, {node.name for node in nodes} - plain, now)
        return Spare(nodes, waiting, max(self._startable(hole, now), by_plan), hole.walltime_s)

    def _sinfo(self, fields: str) -> str:
        argv = ["sinfo", "--Node", f"--Format={fields}"]
        if self._settings.partition:
            argv.append(f"--partition={self._settings.partition}")
        return run(argv)

    def _with_features(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        wanted = set(self._settings.features)
        if not wanted:
            return tuple(nodes)
        has = answers.parse_features(self._sinfo(answers.FEATURE_FIELDS))
        return tuple(node for node in nodes if wanted <= has.get(node.name, frozenset()))

    def _reserved(self, now: datetime) -> list[answers.Taking]:
        options = self._settings.options
        ours = [option[len(RESERVATION) :] for option in options if option.startswith(RESERVATION)]
        text = run(["scontrol", "--oneliner", "show", "reservation"])
        return answers.parse_reservations(text, ours[0] if ours else None, now)

    def _planned(self) -> list[answers.Taking]:
        text = run(["squeue", "--all", "--states=PENDING", f"--format={answers.PLAN_FIELDS}"])
        return answers.parse_plan(text, self._prefix)

    def _startable(self, hole: Hole, now: datetime) -> int:
        """How many pilots would start together now; found by bisection, so in few calls."""
        sure, most = 0, hole.most
        while sure < most:
            tried = most if sure == 0 and most == hole.most else (sure + most + 1) // 2
            if self._starts(hole, tried, now):
                sure = tried
            else:
                most = tried - 1
        return sure

    def _starts(self, hole: Hole, pilots: int, now: datetime) -> bool:
        try:
            text = run(probe_argv(self._settings, hole, pilots), errors_too=True)
        except BatchError:
            if pilots == 1:
                raise  # not even one: what Slurm says is for the site admin
            return False
        return answers.parse_test(text) <= now + NOW
