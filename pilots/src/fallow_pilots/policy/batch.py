"""The batch system that a centre runs."""

from typing import Annotated, Literal, Optional

from pydantic import StringConstraints, model_validator

from fallow.settings import Settings
from fallow_pilots.policy.words import Feature, SbatchOption, Word

KNOWN_TO = {
    "slurm": {"partition", "account", "qos", "features", "options"},
    "pbs": {"partition", "account"},
    "htcondor": {"account", "requirements"},
    "fork": set[str](),
}
"""The settings of `Batch` that each batch system understands."""


class Batch(Settings):
    """The batch system that pilots are submitted to."""

    system: Literal["slurm", "pbs", "htcondor", "fork"] = "slurm"
    """`slurm`; `pbs` for PBS Professional and OpenPBS; `htcondor` for a pool of the centre's own; `fork` for a single
    machine without a batch system."""
    partition: Optional[Word] = None
    """The partition (PBS: queue) for pilots; best one that local jobs preempt."""
    account: Optional[Word] = None
    """The account (HTCondor: accounting group) that pilots are charged to."""
    qos: Optional[Word] = None
    """The quality of service that pilots ask for; Slurm only."""
    features: tuple[Feature, ...] = ()
    """Features that a node must have, all of them; Slurm only. Nodes without them are not counted as spare."""
    requirements: Optional[Annotated[str, StringConstraints(pattern=r"^[ -~]{1,1000}$")]] = None
    """A ClassAd expression that a machine must fulfil, e.g. `HasScratch =?= true`; HTCondor only."""
    options: tuple[SbatchOption, ...] = ()
    """Further options of `sbatch`, each `--name=value`, e.g. `--reservation=lent`; Slurm only. With `--exclusive` a pilot
    offers all of its nodes: let the shapes say how large they are, for that is what caps count."""

    @model_validator(mode="after")
    def _system_knows_all(self) -> "Batch":
        for name in ("partition", "account", "qos", "features", "requirements", "options"):
            if getattr(self, name) and name not in KNOWN_TO[self.system]:
                raise ValueError(
                    f'batch.system = "{self.system}" contradicts batch.{name}: it knows nothing of the kind'
                )
        if self.features and any(option.startswith("--constraint") for option in self.options):
            raise ValueError("batch.features contradicts --constraint in batch.options: give one of them")
        return self
