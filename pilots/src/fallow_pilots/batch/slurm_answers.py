"""What Slurm's commands print, as values; pure.

Every listing is asked for with its header line: an answer without it is no answer, which tells an empty queue
from a broken command. The fields are those of squeue(1), sinfo(1), sacct(1) and scontrol(1).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from fallow_pilots.batch.model import BatchError, JobStatus, Node, Phase

JOB_FIELDS = "%i|%T|%S|%N|%j|%r"
JOB_HEADER = "JOBID|STATE|START_TIME|NODELIST|NAME|REASON"
WAITING_FIELDS = "%P|%r|%j"
WAITING_HEADER = "PARTITION|REASON|NAME"
PLAN_FIELDS = "%S|%Y|%j"
PLAN_HEADER = "START_TIME|SCHEDNODES|NAME"
NODE_FIELDS = "NodeHost:|,StateLong:|,CPUsState:|,Memory:|,AllocMem:|,Gres:|,GresUsed:|,Available:|"
NODE_HEADER = "HOSTNAMES|STATE|CPUS(A/I/O/T)|MEMORY|ALLOCMEM|GRES|GRES_USED|AVAIL|"
FEATURE_FIELDS = "NodeHost:|,features_act:|"
FEATURE_HEADER = "HOSTNAMES|ACTIVE_FEATURES|"
ACCOUNTING_FIELDS = "JobIDRaw,State,Start,NodeList,JobName"
ACCOUNTING_HEADER = "JobIDRaw|State|Start|NodeList|JobName"
NO_RESERVATIONS = "No reservations in the system"

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
ACCOUNTING = ("Account", "Assoc", "InvalidAccount", "InvalidQOS", "QOS")
"""How the reasons begin of jobs that wait for a limit of their account, budget or QOS (squeue(1), job reason codes)."""
MOST_HOSTS = 100_000
PLANNED = {"planned", "idle-", "mixed-"}
"""States of nodes that the backfill scheduler keeps for a job to come."""


@dataclass(frozen=True)
class Taking:
    """Nodes that are taken from a moment on: by a reservation, by maintenance, or by a job that is planned there."""

    since: datetime
    nodes: str
    """As Slurm writes a list of hosts, e.g. `n[1-3,7]`."""


def parse_submit(text: str) -> str:
    """The job id in the output of `sbatch --parsable`, which a site's plugin may have talked into."""
    for line in reversed(text.splitlines()):
        found = re.fullmatch(r"([0-9]+)(;[A-Za-z0-9_.-]+)?", line.strip())
        if found:
            return found.group(1)
    raise BatchError(f"sbatch printed no job id: {text.strip()[:200]!r}.")


def parse_test(text: str) -> datetime:
    """When a job would start, from what `sbatch --test-only` says on standard error."""
    found = re.search(r"\bJob [0-9]+ to start at ([0-9T:-]{19}) ", text)
    moment = _moment(found.group(1)) if found else None
    if moment is None:
        raise BatchError(f"sbatch --test-only named no start: {text.strip()[:200]!r}.")
    return moment


def _rows(text: str, header: str, program: str) -> Iterator[list[str]]:
    lines = (line.group() for line in re.finditer(r"[^\r\n]+", text))  # one by one: there may be very many
    if next(lines, "").strip() != header:
        raise BatchError(f"{program} gave no usable answer: it begins with {text[:80]!r}.")
    width = header.count("|")
    split = (line.split("|", width) for line in lines if line.strip())
    return (fields for fields in split if len(fields) == width + 1)


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
    node = nodes if nodes not in {"", "None assigned"} else None
    barred = reason if phase is Phase.QUEUED and reason.startswith(ACCOUNTING) else None
    return JobStatus(name, native_id, phase, detail, started, node, barred)


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
        and not reason.startswith(ACCOUNTING)
        and (not partitions or not set(names.split(",")).isdisjoint(partitions))
    )


def parse_plan(text: str, prefix: str) -> list[Taking]:
    """Which nodes waiting jobs of others will take and when, as the backfill scheduler plans it; from `squeue`."""
    takings = []
    for start, nodes, job in _rows(text, PLAN_HEADER, "squeue"):
        since = _moment(start)
        if since is not None and nodes not in {"", "(null)"} and not job.startswith(prefix):
            takings.append(Taking(since, nodes))
    return takings


def parse_reservations(text: str, ours: str | None, now: datetime) -> list[Taking]:
    """Nodes under a reservation that has not ended, maintenance included; from `scontrol --oneliner`.

    Args:
        text: The answer.
        ours: The reservation that pilots run in, if they do.
        now: The launcher's clock, UTC.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not (lines[0].startswith("ReservationName=") or lines[0].startswith(NO_RESERVATIONS)):
        raise BatchError(f"scontrol gave no usable answer: it begins with {text[:80]!r}.")
    takings = []
    for line in lines:
        facts = dict(word.partition("=")[::2] for word in line.split())
        since, until = _moment(facts.get("StartTime", "")), _moment(facts.get("EndTime", ""))
        if since is None or facts.get("ReservationName") == ours or (until is not None and until <= now):
            continue
        if facts.get("Nodes", "(null)") not in {"", "(null)"}:
            takings.append(Taking(since, facts["Nodes"]))
    return takings


def hosts(text: str) -> list[str]:
    """The hosts of a list as Slurm writes it, e.g. `gpu1,n[08-10,12]`.

    Raises:
        BatchError: It is no such list, or names more than `MOST_HOSTS`.
    """
    found: list[str] = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text):
        names = [""]
        for plain, ranges in re.findall(r"([^\[\]]+)|\[([0-9,-]+)\]", part):
            ends = [plain] if plain else [number for piece in ranges.split(",") for number in _range(piece)]
            if len(names) * len(ends) > MOST_HOSTS:
                raise BatchError(f"A list of hosts names too many: {text[:80]!r}.")
            names = [name + end for name in names for end in ends]
        found += names
    return found


def _range(text: str) -> list[str]:
    first, _, last = text.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise BatchError(f"This is no range of hosts: {text[:80]!r}.")
    numbers = range(int(first), min(int(last or first), int(first) + MOST_HOSTS) + 1)
    return [str(number).zfill(len(first)) for number in numbers]


def parse_features(text: str) -> dict[str, frozenset[str]]:
    """The active features of each node, from `sinfo`."""
    return {
        name: frozenset(features.split(",")) for name, features, _ in _rows(text, FEATURE_HEADER, "sinfo")
    }


def _gpus(text: str) -> dict[str, int]:
    """GPUs by model from a GRES list such as `gpu:a100:4(S:0-1),gpu:2`; those without a model are under the empty one."""
    found: dict[str, int] = {}
    for model, count in re.findall(r"\bgpu(?::([^:,()]+))?:([0-9]+)", text):
        found[model] = found.get(model, 0) + int(count)
    return found


def parse_nodes(text: str, *, planned_too: bool = False) -> tuple[Node, ...]:
    """The output of `sinfo`, header included; nodes in any state but plain `idle` or `mixed` are left out.

    Args:
        text: The answer.
        planned_too: Take also nodes that are kept for a job to come.
    """
    fit = {"idle", "mixed"} | (PLANNED if planned_too else set())
    found: dict[str, Node] = {}
    for name, state, cores, memory, allocated, gres, used, available, _ in _rows(text, NODE_HEADER, "sinfo"):
        counts = cores.split("/")
        if available != "up" or state not in fit or len(counts) != 4:
            continue
        if not (counts[0].isdigit() and counts[1].isdigit() and memory.isdigit() and allocated.isdigit()):
            continue
        gpus, gpus_used = _gpus(gres), _gpus(used)
        free = {model: max(0, count - gpus_used.get(model, 0)) for model, count in gpus.items()}
        found[name] = Node(
            name=name,
            cores_free=int(counts[1]),
            memory_mb_free=max(0, int(memory) - int(allocated)),
            gpus_free=sum(free.values()),
            idle=not state.startswith("mixed") and int(counts[0]) == 0,
            gpu_models=tuple(sorted((model, count) for model, count in free.items() if model)),
        )
    return tuple(found.values())
