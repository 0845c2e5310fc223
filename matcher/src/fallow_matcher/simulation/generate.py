"""Work from distributions: bursts of like jobs, as people submit them."""

from __future__ import annotations

import random
from math import log
from typing import Annotated

from pydantic import Field

from fallow.rules import CPU
from fallow.settings import Settings
from fallow_matcher.simulation.workload import Job

DAY_S = 86_400.0


class Stream(Settings):
    """The work of one centre, drawn from distributions."""

    jobs_per_day: float = Field(gt=0, le=1e7, allow_inf_nan=False)
    """How many jobs come in a day, on average."""
    burst: float = Field(1.0, ge=1, le=1e6, allow_inf_nan=False)
    """How many come at once, on average (geometric); bursts come at random (Poisson)."""
    mean_s: float = Field(3600, gt=0, le=1e8, allow_inf_nan=False)
    """How long a job runs, in seconds, on average."""
    spread: float = Field(1.5, ge=0, le=4, allow_inf_nan=False)
    """Standard deviation of the logarithm of a job's length (lognormal); 0 for equal lengths."""
    requested: float = Field(4.0, ge=1, le=1000, allow_inf_nan=False)
    """At most how many times its length a job asks for (uniform from 1)."""
    cores: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=lambda: [1], min_length=1, max_length=100
    )
    """Sizes of jobs, one as likely as the other; name one twice to make it twice as likely."""
    resource_class: str = Field(CPU, min_length=1, max_length=70)
    """`cpu`, or the class of GPUs that `cores` then counts."""
    work_type: str = ""
    """The work type; empty for the rules' default one."""


def draw(stream: Stream, centre: str, span_s: float, dice: random.Random, start_s: float = 0.0) -> list[Job]:
    """The jobs that come in a span of time, in the order of time.

    Args:
        stream: What to draw from.
        centre: Whose jobs they are.
        span_s: For how long jobs come.
        dice: Where chance comes from.
        start_s: When the span begins.
    """
    jobs = []
    per_s = stream.jobs_per_day / stream.burst / DAY_S
    median = log(stream.mean_s) - stream.spread**2 / 2
    at_s = start_s + dice.expovariate(per_s)
    while at_s < start_s + span_s:
        units = dice.choice(stream.cores)
        while True:
            wall_s = max(1.0, dice.lognormvariate(median, stream.spread))
            requested_s = wall_s * dice.uniform(1, stream.requested)
            jobs.append(
                Job(centre, at_s, wall_s, requested_s, units, stream.work_type, stream.resource_class)
            )
            if dice.random() * stream.burst < 1:
                break
        at_s += dice.expovariate(per_s)
    return jobs
