"""What is simulated: jobs that come, and the capacity of each centre over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fallow.rules import CPU


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it would wait: what it needs does not depend on where it runs."""

    centre: str
    submitted_s: float
    """When it came, in seconds from any origin."""
    wall_s: float
    """How long it runs."""
    requested_s: float
    """How long it asked for; what its centre is charged with until it has ended."""
    units: int = 1
    """Cores, or GPUs in a class of GPUs."""
    work_type: str = ""
    resource_class: str = CPU


@dataclass(frozen=True, slots=True)
class Step:
    """From `at_s` on, a centre has `units` of a resource class."""

    centre: str
    at_s: float
    units: int
    resource_class: str = CPU


@dataclass(frozen=True)
class Workload:
    """Jobs and capacity, both in the order of time."""

    jobs: Sequence[Job]
    capacity: Sequence[Step]

    @property
    def centres(self) -> list[str]:
        """Every centre that has jobs or capacity, sorted."""
        return sorted({job.centre for job in self.jobs} | {step.centre for step in self.capacity})


def steady(cores: Mapping[str, int]) -> list[Step]:
    """Capacity that never changes: cores by centre."""
    return [Step(centre, float("-inf"), units) for centre, units in cores.items()]
