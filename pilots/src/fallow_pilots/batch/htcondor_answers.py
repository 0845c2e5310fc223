"""What HTCondor's commands print with `-json`, as values; pure.

The attributes are those of the manual's appendix on job and machine ClassAd attributes. A listing without any row is
printed as nothing at all, so the caller must make sure in another way that an empty answer is one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from fallow_pilots.batch.model import BatchError, JobStatus, Node, Phase

JOB_ATTRIBUTES = (
    "ClusterId",
    "ProcId",
    "JobStatus",
    "JobBatchName",
    "JobCurrentStartDate",
    "RemoteHost",
    "LastRemoteHost",
    "NumJobStarts",
    "HoldReason",
    "RemoveReason",
)
SLOT_ATTRIBUTES = (
    "Name",
    "Machine",
    "SlotType",
    "State",
    "Activity",
    "Cpus",
    "Memory",
    "GPUs",
    "GPUs_DeviceName",
    "TotalSlotCpus",
    "NumDynamicSlots",
    "Start",
    "Draining",
    "Offline",
)
IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5
WORDS = {
    IDLE: "idle",
    RUNNING: "running",
    REMOVED: "removed",
    COMPLETED: "completed",
    HELD: "held",
    6: "transferring output",
    7: "suspended",
}


def parse_submit(text: str) -> str:
    """The job id in what `condor_submit -terse` prints, e.g. `12.0 - 12.0`."""
    for line in reversed(text.splitlines()):
        found = re.fullmatch(r"([0-9]+\.0) - \1", line.strip())
        if found:
            return found.group(1)
    raise BatchError(f"condor_submit printed no job id: {text.strip()[:200]!r}.")


def rows(text: str, program: str) -> list[Mapping[str, Any]]:
    """The ClassAds in an answer; none where nothing was printed.

    Raises:
        BatchError: It is no list of ClassAds.
    """
    if not text.strip():
        return []
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise BatchError(f"{program} gave no usable answer: it begins with {text[:80]!r}.")
    return found


def confirms(text: str) -> bool:
    """Whether what `condor_q -totals` prints comes from a schedd."""
    return re.search(r"^Total for all users: [0-9]+ jobs", text, re.MULTILINE) is not None


def parse_jobs(text: str, *, of_history: bool = False) -> list[JobStatus]:
    """Jobs as `condor_q` or, with `of_history`, `condor_history` prints them."""
    program = "condor_history" if of_history else "condor_q"
    jobs = (_job(row, of_history=of_history) for row in rows(text, program))
    return [job for job in jobs if job is not None]


def _job(row: Mapping[str, Any], *, of_history: bool) -> JobStatus | None:
    cluster, state, name = row.get("ClusterId"), row.get("JobStatus"), row.get("JobBatchName")
    if not isinstance(cluster, int) or not isinstance(state, int) or not isinstance(name, str):
        return None
    if row.get("ProcId") != 0:
        return None  # a launcher submits one job at a time
    phase = Phase.ENDED if of_history else _phase(row, state)
    reason = row.get("RemoveReason") or (row.get("HoldReason") if state == HELD else None)
    word = WORDS.get(state, f"state {state}")
    begun = row.get("JobCurrentStartDate")
    started = datetime.fromtimestamp(begun, tz=timezone.utc) if isinstance(begun, int) else None
    host = row.get("RemoteHost") or row.get("LastRemoteHost")
    return JobStatus(
        name,
        f"{cluster}.0",
        phase,
        f"{word} ({reason})" if reason else word,
        None if phase is Phase.QUEUED else started,
        host.rpartition("@")[2] if isinstance(host, str) else None,
    )


def _phase(row: Mapping[str, Any], state: int) -> Phase:
    """A removed job holds its slot until it leaves the queue; one that is idle or held after a start never starts again."""
    begun = row.get("NumJobStarts")
    if state in {IDLE, HELD}:
        return Phase.ENDED if isinstance(begun, int) and begun > 0 else Phase.QUEUED
    return Phase.ENDED if state == COMPLETED else Phase.RUNNING


def _count(value: object) -> int:
    return max(0, int(value)) if isinstance(value, (int, float)) else 0


def parse_slots(text: str) -> tuple[Node, ...]:
    """Slots that would take a pilot, from `condor_status`; a machine with one slot bears the machine's name.

    Raises:
        BatchError: It is no list of slots, or an empty one: a pool without any machine is no pool.
    """
    slots = [row for row in rows(text, "condor_status") if row.get("SlotType") != "Dynamic"]
    if not slots:
        raise BatchError("condor_status names no machine.")
    on_machine = Counter(row.get("Machine") for row in slots)
    at_work = {row.get("Machine") for row in slots if _is_taken(row)}
    found = []
    for row in slots:
        name, machine = row.get("Name"), row.get("Machine")
        if not isinstance(name, str) or not isinstance(machine, str) or not _is_open(row):
            continue
        gpus, model = _count(row.get("GPUs")), row.get("GPUs_DeviceName")
        found.append(
            Node(
                name=machine if on_machine[machine] == 1 else name,
                cores_free=_count(row.get("Cpus")),
                memory_mb_free=_count(row.get("Memory")),
                gpus_free=gpus,
                idle=machine not in at_work,
                gpu_models=((model, gpus),) if gpus and isinstance(model, str) else (),
            )
        )
    return tuple(found)


def _is_open(row: Mapping[str, Any]) -> bool:
    """Whether a slot takes jobs: not its owner's, not draining, not powered down, and not closed for good."""
    closed = row.get("Start") is False or row.get("Draining") is True or row.get("Offline") is True
    return row.get("State") == "Unclaimed" and row.get("Activity") == "Idle" and not closed


def _is_taken(row: Mapping[str, Any]) -> bool:
    if row.get("SlotType") == "Partitionable":
        return _count(row.get("NumDynamicSlots")) > 0 or row.get("Cpus") != row.get("TotalSlotCpus")
    return row.get("State") != "Unclaimed"
