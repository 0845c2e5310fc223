"""When a centre gives."""

from typing import Annotated, Optional

from pydantic import AfterValidator, Field, model_validator

from fallow.settings import Settings
from fallow_pilots.policy.words import Word
from fallow_pilots.windows import Window, check_zone


class When(Settings):
    """When pilots may start and run."""

    time_zone: Annotated[str, AfterValidator(check_zone)] = "UTC"
    """Time zone of the windows, e.g. `Europe/Berlin`."""
    windows: tuple[Window, ...] = ()
    """Calendar windows; none: always. A pilot's walltime never passes the end of its window."""
    queue_below: Optional[int] = Field(default=None, ge=1)
    """Start pilots only while fewer local jobs than this wait."""
    queue_partitions: tuple[Word, ...] = ()
    """The partitions whose waiting jobs count; none: all."""
    only_backfill: bool = False
    """Start a pilot only where the batch system says that it would start at once and delay no waiting job; Slurm only."""
    only_idle_nodes: bool = True
    """Start pilots only for nodes without any other job; otherwise where enough of a node is free."""
    node_idle_s: int = Field(default=0, ge=0)
    """Start pilots only for nodes that have been seen idle for this long."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "When":
        if self.queue_partitions and self.queue_below is None:
            raise ValueError("when.queue_partitions needs when.queue_below")
        if self.node_idle_s and not self.only_idle_nodes:
            raise ValueError("when.node_idle_s contradicts when.only_idle_nodes = false")
        return self
