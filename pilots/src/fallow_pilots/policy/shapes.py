"""What one pilot is: its size and its life."""

from typing import Optional

from pydantic import Field, model_validator

from fallow.settings import Settings
from fallow_pilots.policy.words import BatchGpu


class Shape(Settings):
    """What one pilot asks of the batch system; cores, memory, disk and GPUs are those on each of its nodes."""

    cores: int = Field(ge=1)
    """Cores of a pilot."""
    memory_mb: int = Field(ge=256)
    """Memory of a pilot."""
    disk_mb: int = Field(default=0, ge=0)
    """Scratch space that jobs may use; 0: what the scratch directory has free."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of a pilot."""
    gpu_model: Optional[BatchGpu] = None
    """Model of these GPUs as the batch system calls it, e.g. `a100`, in a pool `NVIDIA A100-SXM4-40GB`; none: any."""
    nodes: int = Field(default=1, ge=1)
    """Nodes of one pilot job; each of them joins the pool."""

    @model_validator(mode="after")
    def _model_needs_gpus(self) -> "Shape":
        if self.gpu_model and not self.gpus:
            raise ValueError(f"gpu_model = {self.gpu_model} contradicts gpus = 0")
        return self

    @property
    def all_cores(self) -> int:
        """Cores on all nodes together."""
        return self.cores * self.nodes

    @property
    def all_gpus(self) -> int:
        """GPUs on all nodes together."""
        return self.gpus * self.nodes


class PilotShape(Shape):
    """What one pilot asks of the batch system, and how long it stays."""

    other_shapes: tuple[Shape, ...] = ()
    """Shapes for further kinds of nodes; a node gets the largest that fits it: by GPUs, then cores, then memory."""
    walltime_s: int = Field(default=6 * 3600, ge=120)
    """Longest life of a pilot; shorter when a window closes earlier."""
    min_walltime_s: int = Field(default=600, ge=60)
    """No pilot is started for less: when a window closes, maintenance begins or a backfill hole ends sooner."""
    idle_exit_s: int = Field(default=300, ge=5)
    """A pilot without work leaves after this time."""
    drain_grace_s: int = Field(default=120, ge=5)
    """How long before its end the batch system tells a pilot to drain."""

    @property
    def shapes(self) -> "tuple[Shape, ...]":
        """All shapes, the largest first."""
        every = (self, *self.other_shapes)
        return tuple(sorted(every, key=lambda one: (one.gpus, one.cores, one.memory_mb), reverse=True))

    @property
    def job_s(self) -> int:
        """The longest walltime that a job may ask for: a pilot takes nothing that would still run when it drains."""
        return self.walltime_s - self.drain_grace_s
