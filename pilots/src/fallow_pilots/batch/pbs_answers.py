"""What the commands of PBS Professional and OpenPBS print, as values; pure.

The formats are those of qstat(1B), pbsnodes(8) with `-F json`, and pbs_rstat(1B) with `-F`. Every JSON answer begins
with the server's name: one without it is no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from fallow_pilots.batch.model import BatchError, JobStatus, Node, Phase

ENDED = {"F", "X"}
QUEUED = {"Q", "H", "W", "T", "M"}
"""Queued, held, waiting for its time, in transit, moved to another server."""
BYTES = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
MOMENT = "%a %b %d %H:%M:%S %Y"


@dataclass(frozen=True)
class Reservation:
    """A reservation that has not ended."""

    name: str
    since: datetime
    nodes: frozenset[str]


def parse_submit(text: str) -> str:
    """The job id that `qsub` prints, which a site's hook may have talked into."""
    for line in reversed(text.splitlines()):
        if re.fullmatch(r"[0-9]+(\.[A-Za-z0-9_.-]+)?", line.strip()):
            return line.strip()
    raise BatchError(f"qsub printed no job id: {text.strip()[:200]!r}.")


def parse_ids(text: str) -> list[str]:
    """The job ids that `qselect` prints; those of arrays are nothing that a launcher submitted."""
    return [
        line.strip()
        for line in text.splitlines()
        if re.fullmatch(r"[0-9]+(\.[A-Za-z0-9_.-]+)?", line.strip())
    ]


def _document(text: str, program: str) -> dict[str, Any]:
    try:
        # A job's variables may hold control characters, which PBS prints as they are.
        document = json.loads(text, strict=False)
    except ValueError:
        document = None
    if not isinstance(document, dict) or "pbs_server" not in document:
        raise BatchError(f"{program} gave no usable answer: it begins with {text[:80]!r}.")
    return document


def _table(document: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if isinstance(value, dict)}


def _moment(value: object) -> datetime | None:
    """A moment as PBS writes it, in UTC because the commands run with that time zone; newer ones print unix time."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value, tz=timezone.utc)
    try:
        return datetime.strptime(str(value), MOMENT).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def parse_jobs(text: str) -> list[JobStatus]:
    """The output of `qstat -f -F json`."""
    found = []
    for native_id, facts in _table(_document(text, "qstat"), "Jobs").items():
        name, state = facts.get("Job_Name"), facts.get("job_state")
        if not isinstance(name, str) or not isinstance(state, str) or "[" in native_id:
            continue
        phase = Phase.QUEUED if state in QUEUED else Phase.ENDED if state in ENDED else Phase.RUNNING
        detail = f"{state} ({facts['comment']})" if isinstance(facts.get("comment"), str) else state
        started = None if phase is Phase.QUEUED else _moment(facts.get("stime"))
        hosts = re.findall(r"([^/+()]+)/[0-9]", str(facts.get("exec_host", "")))
        node = "+".join(dict.fromkeys(hosts)) or None
        found.append(JobStatus(name, native_id, phase, detail, started, node))
    return found


def parse_queues(text: str) -> dict[str, int]:
    """How many jobs wait in each queue, from `qstat -Q -f -F json`; held ones and those with a later time do not."""
    waiting = {}
    for name, facts in _table(_document(text, "qstat"), "Queue").items():
        found = re.search(r"\bQueued:([0-9]+)", str(facts.get("state_count", "")))
        if found:
            waiting[name] = int(found.group(1))
    return waiting


def check_server(text: str) -> None:
    """Make sure that `qstat -B -f -F json` shows a server.

    Raises:
        BatchError: It does not.
    """
    if not _table(_document(text, "qstat"), "Server"):
        raise BatchError("qstat names no server: PBS does not answer.")


def _mb(value: object) -> int:
    found = re.fullmatch(r"([0-9]+)([kmgt]?b)", str(value))
    return int(found.group(1)) * BYTES[found.group(2)] >> 20 if found else 0


def _count(value: object) -> int:
    return int(str(value)) if re.fullmatch(r"[0-9]{1,9}", str(value)) else 0


def parse_nodes(text: str, queue: str | None) -> tuple[Node, ...]:
    """The output of `pbsnodes -a -F json`; nodes in any state but plain `free` are left out.

    Args:
        text: The answer.
        queue: The queue of pilots: nodes that belong to another one only are left out.
    """
    found = []
    for name, facts in _table(_document(text, "pbsnodes"), "nodes").items():
        has, used = facts.get("resources_available"), facts.get("resources_assigned", {})
        if facts.get("state") != "free" or not isinstance(has, dict) or not isinstance(used, dict):
            continue
        if not _serves(facts, has, queue):
            continue
        gpus = max(0, _count(has.get("ngpus", 0)) - _count(used.get("ngpus", 0)))
        model = has.get("gpu_model")
        found.append(
            Node(
                name=name,
                cores_free=max(0, _count(has.get("ncpus", 0)) - _count(used.get("ncpus", 0))),
                memory_mb_free=max(0, _mb(has.get("mem")) - _mb(used.get("mem"))),
                gpus_free=gpus,
                idle=not facts.get("jobs") and _count(used.get("ncpus", 0)) == 0,
                gpu_models=((model, gpus),) if isinstance(model, str) and gpus else (),
            )
        )
    return tuple(found)


def _serves(facts: Mapping[str, Any], has: Mapping[str, Any], queue: str | None) -> bool:
    """Whether a node takes jobs of a queue: it names none, or this one."""
    named: Collection[str] = str(facts.get("queue") or has.get("Qlist") or "").split(",")
    return named == [""] or queue is None or queue in named


def reserved_at_all(text: str) -> bool:
    """Whether any node of `pbsnodes -a -F json` has a reservation, so that it is worth to ask for their times."""
    return any("resv" in facts for facts in _table(_document(text, "pbsnodes"), "nodes").values())


def parse_reservations(text: str) -> list[Reservation]:
    """The output of `pbs_rstat -F`, maintenance included."""
    blocks = [block for block in re.split(r"(?m)^(?=Resv ID:)", text) if block.strip()]
    if not blocks or not all(block.startswith("Resv ID:") for block in blocks):
        raise BatchError(f"pbs_rstat gave no usable answer: it begins with {text[:80]!r}.")
    found = []
    for block in blocks:
        # Long values go on in the next line after a tab.
        lines = re.sub(r"\n\t", "", block).splitlines()
        name = lines[0].partition(":")[2].strip()
        pairs = (line.partition("=") for line in lines[1:])
        facts = {key.strip(): value.strip() for key, _, value in pairs}
        since = _moment(facts.get("reserve_start"))
        nodes = frozenset(re.findall(r"[(+]([^:()+]+):", facts.get("resv_nodes", "")))
        if since is not None and nodes:
            found.append(Reservation(name, since, nodes))
    return found
