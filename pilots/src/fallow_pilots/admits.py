"""Would this policy take a job? Asked with the very expressions that its pilots put into START."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fallow.admission import ADMISSION
from fallow.errors import UsageError
from fallow_pilots.conditions import Clause, conditions_of
from fallow_pilots.policy import Policy, Shape
from fallow_pilots.policy.agree import MONDAY
from fallow_pilots.windows import longest_s


@dataclass(frozen=True)
class Verdict:
    """Whether one job would be taken, and by which clauses it is refused."""

    job: str
    refused_by: tuple[Clause, ...]

    @property
    def taken(self) -> bool:
        """Whether no clause refuses it."""
        return not self.refused_by


def judge(policy: Policy, job: str, ad: Any, now: float) -> Verdict:
    """The verdict on one job.

    Args:
        policy: The centre's policy.
        job: What to call it.
        ad: Its ClassAd.
        now: Unix time: when a pilot would start that lives as long as the policy allows.
    """
    until = math.ceil(now) + _life_s(policy) - policy.pilot.drain_grace_s
    model = next(iter(policy.conditions.gpu_models), None)
    slots = [_slot(shape, until, model) for shape in policy.pilot.shapes]
    found = [
        clause for clause in (*_admission(policy), *conditions_of(policy)) if not _holds(clause, slots[0], ad)
    ]
    too_small = [
        [clause for clause in _sizes(shape) if not _holds(clause, slot, ad)]
        for shape, slot in zip(policy.pilot.shapes, slots)
    ]
    return Verdict(job, (*found, *min(too_small, key=len)))


def _life_s(policy: Policy) -> int:
    """The longest life of a pilot: its walltime, or the longest time that the windows are open."""
    window = longest_s(policy.when.windows, policy.when.time_zone, MONDAY)
    return policy.pilot.walltime_s if window is None else min(policy.pilot.walltime_s, int(window))


def _admission(policy: Policy) -> list[Clause]:
    """What every pilot asks, named by what decides it: the federation, or how long this centre's pilots live."""
    life = "pilot.walltime_s" if _life_s(policy) == policy.pilot.walltime_s else "when.windows"
    return [
        Clause(life if "FallowUntil" in one.requirement else "federation", one.sentence, one.requirement)
        for one in ADMISSION
    ]


def _sizes(shape: Shape) -> list[Clause]:
    """What HTCondor asks of any slot: that the job fits into it."""
    asked = [
        ("cores", "RequestCpus", "Cpus", f"{shape.cores} cores"),
        ("memory_mb", "RequestMemory", "Memory", f"{shape.memory_mb} MB of memory"),
        ("gpus", "RequestGPUs", "GPUs", f"{shape.gpus} GPUs"),
    ]
    if shape.disk_mb:
        asked.append(("disk_mb", "RequestDisk", "Disk", f"{shape.disk_mb} MB of disk"))
    return [
        Clause(f"pilot.{name}", f"A pilot has {words}.", f"(TARGET.{request} ?: 0) <= MY.{has}")
        for name, request, has, words in asked
    ]


def _slot(shape: Shape, until: int, gpu_model: str | None) -> Any:
    """The slot of a pilot of `shape` on a node as the policy wants it."""
    import classad2

    values: Mapping[str, object] = {
        "Cpus": shape.cores,
        "Memory": shape.memory_mb,
        "Disk": shape.disk_mb * 1024,
        "GPUs": shape.gpus,
        "FallowUntil": until,
        **({"FallowGpuModel": gpu_model} if gpu_model else {}),
    }
    return classad2.ClassAd(dict(values))


def _holds(clause: Clause, slot: Any, ad: Any) -> bool:
    import classad2

    return classad2.ExprTree(clause.requirement).eval(slot, ad) is True


def read_ads(text: str) -> list[Any]:
    """The jobs in a file: JSON, one object or an array as `condor_q -json` prints, or ClassAds as `condor_q -long` does.

    Raises:
        UsageError: It holds no job.
    """
    import classad2

    try:
        read = json.loads(text)
    except ValueError:
        found = list(classad2.parseAds(text))
    else:
        listed = read if isinstance(read, list) else [read]
        if not all(isinstance(one, dict) for one in listed):
            raise UsageError(
                "This JSON holds something that is no job.", remedy="Give an object for each job."
            )
        found = [
            classad2.ClassAd({name: _value(value) for name, value in one.items()}) for one in listed if one
        ]
    if not found:
        raise UsageError(
            "There is no job in this text.", remedy="Give what `condor_q -json` or `condor_q -long` prints."
        )
    return found


def _value(value: object) -> object:
    """A JSON value as a ClassAd value; `condor_q -json` writes expressions as `"/Expr(…)/"`."""
    import classad2

    written = re.fullmatch(r"/Expr\((.*)\)/", value, re.DOTALL) if isinstance(value, str) else None
    if written is None:
        return value
    try:
        return classad2.ExprTree(written.group(1))
    except classad2.ClassAdException as error:
        raise UsageError(f"{value!r} is no ClassAd expression.", remedy="Mend the job.") from error
