"""Slurm 20.11 and later, through its commands.

The pilot runs as a job step under `srun`, because Slurm signals steps, and not the batch script, at the start
of a preemption's grace time. Every listing is asked for with its header line: an answer without it is no
answer, which tells an empty queue from a broken command.
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime, timezone

from fallow_pilots.batch.command import run
from fallow_pilots.batch.model import BatchError, BatchJob, Hole, JobStatus, Node, Phase, Spare, Stop
from fallow_pilots.policy import Batch

log = logging.getLogger(__name__)

JOB_FIELDS = "%i|%T|%S|%N|%j|%r"
JOB_HEADER = "JOBID|STATE|START_TIME|NODELIST|NAME|REASON"
WAITING_FIELDS = "%P|%r|%j"
WAITING_HEADER = "PARTITION|REASON|NAME"
NODE_FIELDS = "NodeHost:|,StateLong:|,CPUsState:|,Memory:|,AllocMem:|,Gres:|,GresUsed:|,Available:|"
NODE_HEADER = "HOSTNAMES|STATE|CPUS(A/I/O/T)|MEMORY|ALLOCMEM|GRES|GRES_USED|AVAIL|"
ACCOUNTING_FIELDS = "JobIDRaw,State,Start,NodeList,JobName"
ACCOUNTING_HEADER = "JobIDRaw|State|Start|NodeList|JobName"

QUEUED = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "LAUNCH_FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "RECONFIG_FAIL",
    "REVOKED",
    "TIMEOUT",
}
MOMENT = "%Y-%m-%dT%H:%M:%S"
NOT_WAITING = {"BeginTime", "Dependency", "DependencyNeverSatisfied", "JobHeldAdmin", "JobHeldUser"}
"""Reasons of jobs that no free node would start."""


def script_text(job: BatchJob) -> str:
    """The batch script: nothing but the start of the pilot."""
    argv = ["srun", "--nodes=1", "--ntasks=1", f"--cpus-per-task={job.cores}", "--mpi=none", "--export=ALL"]
    argv += [str(job.node_command), "--spec", str(job.spec)]
    return f"#!/bin/sh\nexec {' '.join(map(shlex.quote, argv))}\n"


def submit_argv(settings: Batch, job: BatchJob) -> list[str]:
    """The `sbatch` command for one pilot."""
    asked = [
        ("partition", settings.partition),
        ("account", settings.account),
        ("qos", settings.qos),
        ("gpus-per-node", str(job.gpus) if job.gpus else None),
        ("deadline", job.deadline.strftime(MOMENT) if job.deadline else None),
    ]
    return [
        "sbatch",
        "--parsable",
        "--export=NONE",
        "--no-requeue",
        f"--job-name={job.name}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={job.cores}",
        f"--mem={job.memory_mb}M",
        f"--time={max(1, job.walltime_s // 60)}",
        f"--signal=USR1@{job.drain_grace_s}",
        f"--output={job.log}",
        "--open-mode=append",
        f"--chdir={job.log.parent}",
        *(f"--{name}={value}" for name, value in asked if value is not None),
        *settings.options,
        str(job.script),
    ]


def parse_submit(text: str) -> str:
    """The job id in the output of `sbatch --parsable`, which a site's plugin may have talked into."""
    for line in reversed(text.splitlines()):
        found = re.fullmatch(r"([0-9]+)(;[A-Za-z0-9_.-]+)?", line.strip())
        if found:
            return found.group(1)
    raise BatchError(f"sbatch printed no job id: {text.strip()[:200]!r}.")


def _rows(text: str, header: str, program: str) -> list[list[str]]:
    lines = text.splitlines()
    if not lines or lines[0].strip() != header:
        raise BatchError(f"{program} gave no usable answer: it begins with {text[:80]!r}.")
    width = header.count("|")
    split = (line.split("|", width) for line in lines[1:] if line.strip())
    return [fields for fields in split if len(fields) == width + 1]


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, MOMENT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _phase(state: str) -> Phase:
    if state in QUEUED:
        return Phase.QUEUED
    return Phase.ENDED if state in ENDED else Phase.RUNNING


def _job(native_id: str, state: str, start: str, nodes: str, name: str, reason: str) -> JobStatus | None:
    if not native_id.isdigit() or not state.strip():
        return None  # array tasks and steps: nothing that a launcher submitted
    word = state.split(maxsplit=1)[0].rstrip("+")
    phase = _phase(word)
    started = None if phase is Phase.QUEUED else _moment(start)
    detail = word if reason in {"", "None"} else f"{word} ({reason})"
    return JobStatus(
        name, native_id, phase, detail, started, nodes if nodes not in {"", "None assigned"} else None
    )


def parse_jobs(text: str) -> list[JobStatus]:
    """The output of `squeue`, header included."""
    jobs = (
        _job(native_id, state, start, nodes, name, reason)
        for native_id, state, start, nodes, name, reason in _rows(text, JOB_HEADER, "squeue")
    )
    return [job for job in jobs if job is not None]


def parse_accounting(text: str) -> list[JobStatus]:
    """The output of `sacct -P`, header included."""
    jobs = (
        _job(native_id, state, start, nodes, name, "")
        for native_id, state, start, nodes, name in _rows(text, ACCOUNTING_HEADER, "sacct")
    )
    return [job for job in jobs if job is not None]


def parse_waiting(text: str, partitions: Collection[str], prefix: str) -> int:
    """How many jobs of others wait for resources in `partitions` (none: all); an array counts once."""
    return sum(
        1
        for names, reason, job in _rows(text, WAITING_HEADER, "squeue")
        if not job.startswith(prefix)
        and reason not in NOT_WAITING
        and (not partitions or not set(names.split(",")).isdisjoint(partitions))
    )


def _gpus(text: str) -> int:
    return sum(int(count) for count in re.findall(r"\bgpu(?::[^:,()]+)?:([0-9]+)", text))


def parse_nodes(text: str) -> tuple[Node, ...]:
    """The output of `sinfo`, header included; nodes in any state but plain `idle` or `mixed` are left out."""
    found: dict[str, Node] = {}
    for name, state, cores, memory, allocated, gres, used, available, _ in _rows(text, NODE_HEADER, "sinfo"):
        counts = cores.split("/")
        if available != "up" or state not in {"idle", "mixed"} or len(counts) != 4:
            continue
        if not (counts[0].isdigit() and counts[1].isdigit() and memory.isdigit() and allocated.isdigit()):
            continue
        found[name] = Node(
            name=name,
            cores_free=int(counts[1]),
            memory_mb_free=max(0, int(memory) - int(allocated)),
            gpus_free=max(0, _gpus(gres) - _gpus(used)),
            idle=state == "idle" and int(counts[0]) == 0,
        )
    return tuple(found.values())


class Slurm:
    """A Slurm cluster, as the launcher's user sees it."""

    programs: tuple[str, ...] = ("sbatch", "squeue", "sinfo", "scancel")

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
        return parse_submit(run(self.submit_argv(job)))

    def status(self, names: Collection[str]) -> list[JobStatus]:
        """All our jobs that `squeue` knows, and from an accounting, where there is one, those it forgot."""
        text = run(["squeue", "--all", "--me", "--states=all", f"--format={JOB_FIELDS}"])
        jobs = [job for job in parse_jobs(text) if job.name.startswith(self._prefix)]
        forgotten = sorted(set(names) - {job.name for job in jobs})
        return jobs + self._accounted(forgotten)

    def _accounted(self, names: Sequence[str]) -> list[JobStatus]:
        if not names or shutil.which("sacct") is None:
            return []
        argv = [
            "sacct",
            "--allocations",
            "--parsable2",
            f"--format={ACCOUNTING_FIELDS}",
            "--starttime=now-7days",
        ]
        try:
            return [
                job
                for job in parse_accounting(run([*argv, f"--name={','.join(names)}"]))
                if job.name in names
            ]
        except BatchError as error:
            log.debug("no accounting: %s", error)
            return []

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        """Signal or cancel jobs; `squeue` tells afterwards what came of it."""
        if not native_ids:
            return
        signal = {
            Stop.DRAIN: ["--signal=USR1"],
            Stop.EVICT: ["--signal=TERM"],
            Stop.KILL: [],
        }
        run(["scancel", "--quiet", *signal[how], *native_ids])

    def spare(self, *, count_waiting: bool, partitions: Sequence[str], hole: Hole | None = None) -> Spare:
        """Nodes of the partition with room, and the number of local jobs that wait."""
        argv = ["sinfo", "--Node", f"--Format={NODE_FIELDS}"]
        if self._settings.partition:
            argv.append(f"--partition={self._settings.partition}")
        nodes = parse_nodes(run(argv))
        if not count_waiting:
            return Spare(nodes)
        text = run(["squeue", "--all", "--states=PENDING", f"--format={WAITING_FIELDS}"])
        return Spare(nodes, parse_waiting(text, partitions, self._prefix))
