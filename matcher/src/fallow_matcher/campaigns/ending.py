"""How an attempt of a row ended: what the queue says of its job in, class and signature out. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fallow.queue.records import COMING
from fallow.storage.failures import ELSEWHERE
from fallow_matcher.classads import number_of


class Fault(StrEnum):
    """Why a row failed."""

    EXIT = "exit"
    SIGNAL = "signal"
    MEMORY = "memory"
    DISK = "disk"
    WALLTIME = "walltime"
    STAGING = "staging"
    IMAGE = "image"
    NODE = "node"
    ROW = "row"
    """Its job cannot be expressed."""
    REFUSED = "refused"
    """The queue did not take its job."""
    REMOVED = "removed"
    """Somebody removed its job from the queue."""


@dataclass(frozen=True)
class Ending:
    """How one attempt ended; no fault where all is well."""

    fault: Fault | None
    signature: str = ""
    """What attempts that failed alike have in common."""
    reason: str = ""
    exit_code: int | None = None
    elsewhere: bool = False
    """Whether it was the node's doing: another one may do better, and the row is not to blame."""


OWNER_HOLDS = 1
_STARTD = 21
_WALLTIME = frozenset({46, 47})
_RESOURCES = 34
_OUTPUT, _INPUT = 12, 13
_BY_PILOT = {102: Fault.MEMORY, 104: Fault.DISK, 105: Fault.WALLTIME}
"""The subcodes with which our pilots hold a job that took more than it asked for."""
_NOT_STARTED = 126
_LAUNCHER = 255
_BY_SIGNAL = 128
"""A container tells a signal that ended its program as an exit code beyond this, as shells do."""
_TURNED_AWAY = re.compile(r"^fallow: this job was not started: (.*)$", re.MULTILINE)
_UNSTAGED = re.compile(r"^fallow: staging: ([a-z]{1,20}): (.*)$", re.MULTILINE)
_ELSEWHERE = frozenset(trouble.value for trouble in ELSEWHERE)
_NO_CONTAINER = re.compile(r"^(?:fallow-apptainer: |FATAL: +)(.*)$", re.MULTILINE)
_VARYING = re.compile(r"<[^>]*>|0x[0-9a-fA-F]+|[0-9a-f]{12,}|\d+")
_PATH = re.compile(r"(?:/[^/\s'\",:;]+)+/([^/\s'\",:;]+)")


def finished(ad: Mapping[str, Any], stderr: str) -> Ending:
    """The ending of a job that the queue lists as completed.

    Args:
        ad: The job's ad.
        stderr: The end of what it wrote there: the launcher says there why a container did not start.
    """
    if ad.get("ExitBySignal") is True:
        number = int(number_of(ad, "ExitSignal") or 0)
        return Ending(Fault.SIGNAL, f"signal {number} {_signal_name(number)}".rstrip(), "ended by a signal")
    code = number_of(ad, "ExitCode")
    if code is None:
        return Ending(Fault.NODE, "no exit code", "the queue has no exit code of it", elsewhere=True)
    code = int(code)
    turned_away = _turned_away(code, stderr)
    if turned_away is not None:
        return turned_away
    if _BY_SIGNAL < code <= _BY_SIGNAL + 31 and (name := _signal_name(code - _BY_SIGNAL)):
        return Ending(Fault.SIGNAL, f"signal {code - _BY_SIGNAL} {name}", "ended by a signal", code)
    words = f"exit code {code}"
    return Ending(Fault.EXIT, words, words, code) if code else Ending(None, exit_code=0)


def _turned_away(code: int, stderr: str) -> Ending | None:
    """The ending of a job that the pilot did not start, or whose files it could not store; None for any other."""
    if code == _NOT_STARTED and (said := _UNSTAGED.search(stderr)):
        words = signature(f"{said[1]}: {said[2]}")
        return Ending(Fault.STAGING, words, said[2][:300], code, elsewhere=said[1] in _ELSEWHERE)
    if code == _NOT_STARTED and (said := _TURNED_AWAY.search(stderr)):
        return Ending(Fault.IMAGE, signature(said[1]), said[1][:300], code)
    if code == _LAUNCHER and (said := _NO_CONTAINER.search(stderr)):
        fault = Fault.IMAGE if "image" in said[1] else Fault.NODE
        return Ending(fault, signature(said[1]), said[1][:300], code, elsewhere=True)
    return None


def held(ad: Mapping[str, Any]) -> Ending | None:
    """The ending of a job that is on hold; None where its owner holds it, or its files are still on their way."""
    code = int(number_of(ad, "HoldReasonCode") or 0)
    reason = str(ad.get("HoldReason") or "")[:300]
    if code in (OWNER_HOLDS, *COMING):
        return None
    limit = _BY_PILOT.get(int(number_of(ad, "HoldReasonSubCode") or 0)) if code == _STARTD else None
    if limit is not None and limit is not Fault.WALLTIME:
        return Ending(limit, f"more {limit.value} than it asked for", reason)
    if code in _WALLTIME or limit is Fault.WALLTIME:
        return Ending(Fault.WALLTIME, "longer than its walltime", reason)
    if code == _RESOURCES:
        fault = Fault.DISK if "disk" in reason.lower() else Fault.MEMORY
        return Ending(fault, f"more {fault.value} than it asked for", reason)
    if code == _OUTPUT and "No such file" in reason:
        return Ending(Fault.STAGING, signature(reason), reason)
    fault = Fault.STAGING if code in (_OUTPUT, _INPUT) else Fault.NODE
    return Ending(fault, signature(reason) or f"held with code {code}", reason, elsewhere=True)


def gone(ad: Mapping[str, Any] | None) -> Ending:
    """The ending of a job that has left the queue without the hub's doing.

    Args:
        ad: What HTCondor's history says of it; None where it says nothing.
    """
    if ad is None:
        return Ending(
            Fault.NODE, "the queue lost it", "neither queue nor history knows the job", elsewhere=True
        )
    if number_of(ad, "JobStatus") == 4:
        return finished(ad, "")
    reason = str(ad.get("RemoveReason") or "removed from the queue")[:300]
    return Ending(Fault.REMOVED, "removed from the queue", reason)


def signature(reason: str) -> str:
    """What is the same in reasons that are alike: no numbers, no addresses, no directories."""
    short = _PATH.sub(r"…/\1", " ".join(reason.split()))
    return _VARYING.sub("#", short)[:120]


def _signal_name(number: int) -> str:
    try:
        return f"({signal.Signals(number).name})"
    except ValueError:
        return ""
