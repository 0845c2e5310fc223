"""How much a centre gives, and how fast."""

from typing import Optional

from pydantic import Field

from fallow.settings import Settings


class Limits(Settings):
    """How much the centre gives at most; 0 gives nothing."""

    max_pilots: int = Field(ge=0)
    """Pilots that may be queued or running at once."""
    max_nodes: Optional[int] = Field(default=None, ge=0)
    """Nodes that pilots may occupy at once."""
    max_cores: Optional[int] = Field(default=None, ge=0)
    """Cores of all queued and running pilots together."""
    max_gpus: Optional[int] = Field(default=None, ge=0)
    """GPUs of all queued and running pilots together."""
    share_of_idle: float = Field(default=1.0, ge=0, le=1)
    """Share of the cores that local work leaves idle which pilots may hold."""
    core_hours_per_day: Optional[float] = Field(default=None, ge=0)
    """Core-hours in any 24 hours, a running pilot counted until its walltime."""
    ramp: float = Field(default=0.1, gt=0, le=1)
    """Share of `max_pilots` started per cycle, rounded up."""


class BackOff(Settings):
    """How the launcher slows down when its pilots are of no use."""

    fizzle_s: int = Field(default=600, ge=10)
    """A pilot that ends sooner without leaving a code counts as failed; a canary must outlive this."""
    wait_s: int = Field(default=600, ge=0)
    """Time without launches after a pilot that found no work or failed; then one canary goes first."""
