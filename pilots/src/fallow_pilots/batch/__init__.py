"""The batch systems of centres behind the same few calls; one module for each."""

from __future__ import annotations

from fallow_pilots.batch.fork import Fork
from fallow_pilots.batch.htcondor import HTCondor
from fallow_pilots.batch.model import BatchSystem
from fallow_pilots.batch.pbs import PBS
from fallow_pilots.batch.slurm import Slurm
from fallow_pilots.policy import Batch


def open_batch(settings: Batch, prefix: str) -> BatchSystem:
    """The batch system that the policy names.

    Args:
        settings: The policy's `batch` table.
        prefix: What the names of this centre's pilots start with in the batch system.
    """
    if settings.system == "fork":
        return Fork(prefix)
    if settings.system == "pbs":
        return PBS(settings, prefix)
    if settings.system == "htcondor":
        return HTCondor(settings, prefix)
    return Slurm(settings, prefix)
