"""What is simulated: jobs that come, and the capacity of each centre over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    evicts: bool = False
    """Whether jobs that no longer have room end at once and wait again; else what runs may end."""
    private: bool = False
    """Whether the centre keeps these units to itself; they count beside those that it shares."""


@dataclass(frozen=True, slots=True)
class Pilots:
    """How the capacity of a centre comes: in pilots, each a batch job of its own."""

    units: int
    """What one pilot has."""
    startup_s: float
    """How long after a place is free for it a pilot takes its first job."""
    walltime_s: float
    """How long it takes jobs; one that runs then goes back to the queue, and a new pilot starts."""


@dataclass(frozen=True)
class Workload:
    """Jobs and capacity, both in the order of time."""

    jobs: Sequence[Job]
    capacity: Sequence[Step]
    pilots: Mapping[tuple[str, str], Pilots] = field(default_factory=dict)
    """By centre and resource class; capacity of others is simply there."""
    speed: Mapping[str, float] = field(default_factory=dict)
    """How fast the shared units of a centre are where they are not as fast as the jobs' lengths suppose."""

    @property
    def centres(self) -> list[str]:
        """Every centre that has jobs or capacity, sorted."""
        return sorted({job.centre for job in self.jobs} | {step.centre for step in self.capacity})


def steady(cores: Mapping[str, int]) -> list[Step]:
    """Capacity that never changes: cores by centre."""
    return [Step(centre, float("-inf"), units) for centre, units in cores.items()]
