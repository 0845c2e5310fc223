"""What a Snakemake job asks for, in the queue's terms. Pure.

Amounts are rounded up to few distinct values: jobs that ask for the same are matched together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fallow.errors import UsageError

DEFAULT_MEMORY_MB = 2048
DEFAULT_DISK_MB = 4096
DEFAULT_WALLTIME_S = 3600
_DISK_OF_OURS_MB = 256
"""Room for sources, caches and logs beside a rule's own files."""


@dataclass(frozen=True)
class Request:
    """The request of one job."""

    cores: int
    memory_mb: int
    disk_mb: int
    walltime_s: int
    gpus: int
    work_type: str | None
    centre: str | None
    requirements: str | None


def request(
    rule: str, threads: int, resources: Mapping[str, Any], defaults: Mapping[str, str | None]
) -> Request:
    """The request of a job.

    Args:
        rule: Its rule's name, for messages.
        threads: Its threads.
        resources: Its resources as Snakemake evaluated them: `mem_mb`, `disk_mb`, `runtime` (minutes), `gpu`,
            `fallow_work_type`, `fallow_centre`, `fallow_requirements`; absent and not yet known ones take defaults.
        defaults: `work_type`, `centre`, `requirements` for jobs that name none.

    Raises:
        UsageError: A resource is not a number that makes sense, or not text where text is needed.
    """
    memory_mb = _number(rule, resources, "mem_mb", DEFAULT_MEMORY_MB)
    disk_mb = _number(rule, resources, "disk_mb", DEFAULT_DISK_MB)
    walltime_s = 60 * _number(rule, resources, "runtime", DEFAULT_WALLTIME_S // 60)
    return Request(
        cores=max(1, threads),
        memory_mb=_rounded(memory_mb, 256),
        disk_mb=_rounded(disk_mb + _DISK_OF_OURS_MB, 1024),
        walltime_s=_rounded(walltime_s, 300),
        gpus=_number(rule, resources, "gpu", 0, least=0),
        work_type=_text(rule, resources, "fallow_work_type") or defaults.get("work_type"),
        centre=_text(rule, resources, "fallow_centre") or defaults.get("centre"),
        requirements=_text(rule, resources, "fallow_requirements") or defaults.get("requirements"),
    )


def _rounded(amount: int, step: int) -> int:
    """The next multiple of `step`, or of a sixteenth of the next power of two where that is more."""
    coarse = 1 << max(0, amount.bit_length() - 4)
    step = max(step, coarse)
    return math.ceil(amount / step) * step


def _number(rule: str, resources: Mapping[str, Any], name: str, default: int, *, least: int = 1) -> int:
    value = resources.get(name)
    if value is None or isinstance(value, str):  # "TBD", "<TBD>": Snakemake does not know yet
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least or value > 2**40:
        raise UsageError(
            f"Rule {rule}: {name}={value!r} is not a number from {least}.",
            remedy="Mend the rule's resources.",
        )
    return math.ceil(value)


def _text(rule: str, resources: Mapping[str, Any], name: str) -> str | None:
    value = resources.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UsageError(f"Rule {rule}: {name}={value!r} is not text.", remedy="Mend the rule's resources.")
    return value
