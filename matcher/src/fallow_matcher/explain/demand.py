"""What a job asks for, in numbers, read from its ad; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Demand:
    """What a job asks of a slot; None where the job's own expression has no value."""

    cores: float | None
    memory_mb: float | None
    disk_kb: float | None
    gpus: float
    walltime_s: float | None

    def words(self) -> str:
        """The demand as people say it."""
        parts = [count(self.cores, "core"), f"{memory(self.memory_mb)} of memory"]
        if self.gpus:
            parts.append(count(self.gpus, "GPU"))
        if self.disk_kb is not None:
            parts.append(f"{memory(self.disk_kb / 1024)} of scratch")
        return f"{', '.join(parts)}, for {time(self.walltime_s)}"


def demand_of(job: Any) -> Demand:
    """The demand of a job ad."""
    return Demand(
        cores=_value(job, "RequestCpus"),
        memory_mb=_value(job, "RequestMemory"),
        disk_kb=_value(job, "RequestDisk"),
        gpus=_value(job, "RequestGPUs") or 0,
        walltime_s=_value(job, "FallowWalltime"),
    )


def memory(size_mb: float | None) -> str:
    """An amount of memory or scratch as people say it."""
    if size_mb is None:
        return "an unknown amount"
    for length, unit in ((1024**2, "TB"), (1024, "GB")):
        if size_mb >= length:
            return f"{number(size_mb / length)} {unit}"
    return f"{number(size_mb)} MB"


def time(seconds: float | None) -> str:
    """A length of time as people say it, exact enough to ask for it."""
    if seconds is None:
        return "an unknown time"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length or seconds == length:
            return f"{number(seconds / length)} {unit}"
    return f"{seconds:.0f} s"


def count(value: float | None, what: str) -> str:
    """So many of something countable."""
    return f"{number(value)} {what}{'' if value == 1 else 's'}"


def number(value: float | None) -> str:
    """A number with a digit after the point where that matters."""
    if value is None:
        return "an unknown number of"
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def _value(job: Any, name: str) -> float | None:
    import classad2

    value = job.eval(name) if name in job else None
    if isinstance(value, (classad2.Value, bool)) or not isinstance(value, (int, float)):
        return None
    return float(value)
