"""The site admin's policy: one TOML file that says what a centre gives, when, to whom and how.

The launcher does nothing that this file does not allow. Unknown names are refused, and so are clauses that
contradict each other: the message names both.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, Optional

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fallow.errors import SettingsError
from fallow.messages import Digest
from fallow.offers import CentreName
from fallow.settings import Settings, load
from fallow_pilots.windows import Window, check_zone

DEFAULT_PATH = Path("/etc/fallow/policy.toml")
ENVIRONMENT = "FALLOW_POLICY"

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@,-]{0,127}$")]
"""A name that the batch system knows: it can never look like an option."""

WorkType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""A work type of the federation, e.g. `analysis`."""

SbatchOption = Annotated[
    str,
    StringConstraints(
        pattern=r"^--(comment|constraint|exclude|exclusive|gres-flags|hint|licenses|nice|nodelist"
        r"|prefer|reservation|switches|tmp|wckey)(=[A-Za-z0-9_.,:@%+/*&|()\[\]-]{1,200})?$"
    ),
]
"""An option that goes to the batch system as it is; the launcher's own are not among them."""


Feature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}$")]
"""A feature of nodes, by the batch system's name for it."""

KNOWN_TO = {
    "slurm": {"partition", "account", "qos", "features", "options"},
    "pbs": {"partition", "account"},
    "htcondor": {"account", "requirements"},
    "fork": set[str](),
}
"""The settings of `Batch` that each batch system understands."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    if any(ord(character) < 32 or character == "%" for character in str(path)):
        raise ValueError("a path may not hold control characters or '%'")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Identity(Settings):
    """Who this centre is and which hub it works with."""

    centre: CentreName
    """The centre's name in the federation."""
    hub: str = Field(pattern=r"^https://[A-Za-z0-9.\[\]:-]+$")
    """URL of the hub's gateway, e.g. `https://hub.example.org:8443`."""
    ca_file: Optional[AbsolutePath] = None
    """Certificate authority of the hub, on the shared file system; none where a public one signed it."""
    token_file: AbsolutePath
    """The launcher's own WLCG token, kept fresh by the site's means, readable by the launcher's user only."""


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
    """Further options of `sbatch`, each `--name=value`, e.g. `--reservation=lent`; Slurm only."""

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


class PilotShape(Settings):
    """What one pilot asks of the batch system, and how long it stays."""

    cores: int = Field(ge=1)
    """Cores of one pilot."""
    memory_mb: int = Field(ge=256)
    """Memory of one pilot."""
    disk_mb: int = Field(default=0, ge=0)
    """Scratch space that jobs may use; 0: what the scratch directory has free."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of one pilot."""
    walltime_s: int = Field(default=6 * 3600, ge=120)
    """Longest life of a pilot; shorter when a window closes earlier."""
    min_walltime_s: int = Field(default=600, ge=60)
    """No pilot is started when the window closes sooner than this."""
    idle_exit_s: int = Field(default=300, ge=5)
    """A pilot without work leaves after this time."""
    drain_grace_s: int = Field(default=120, ge=5)
    """How long before its end the batch system tells a pilot to drain."""


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


class Conditions(Settings):
    """Under what conditions the centre's pilots take a job; the pool enforces them on the pilot itself."""

    work_types: tuple[WorkType, ...] = ()
    """Work types taken; none: all."""
    centres: tuple[CentreName, ...] = ()
    """Centres whose users' jobs are taken; none: all."""
    refused_centres: tuple[CentreName, ...] = ()
    """Centres whose users' jobs are never taken."""
    images: tuple[Digest, ...] = ()
    """Images that may run, `sha256:…`; none: all."""
    max_job_s: Optional[int] = Field(default=None, ge=1)
    """Longest walltime that a job may ask for."""


class Assume(Settings):
    """What a pilot may assume on a compute node."""

    scratch_dir: AbsolutePath = Path("/tmp")  # noqa: S108 - a directory of the pilot's own is made below it
    """Local directory for the pilot's files, removed when it ends."""
    image_store_dir: Optional[AbsolutePath] = None
    """Store of images shared by the centre's pilots; none: `images` below `state_dir`."""
    cvmfs: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,127}$")], ...] = ()
    """CVMFS repositories that every node has."""
    proxy: Optional[Annotated[str, StringConstraints(pattern=r"^http://[A-Za-z0-9.-]+:[0-9]{1,5}$")]] = None
    """HTTP proxy that compute nodes need to reach the hub."""
    node_command: Optional[AbsolutePath] = None
    """`fallow-pilot-node` on the compute nodes; none: the one installed beside the launcher."""


class BackOff(Settings):
    """How the launcher slows down when its pilots are of no use."""

    fizzle_s: int = Field(default=600, ge=10)
    """A pilot that ends sooner without leaving a code counts as failed; a canary must outlive this."""
    wait_s: int = Field(default=600, ge=0)
    """Time without launches after a pilot that found no work or failed; then one canary goes first."""


class Policy(Settings):
    """One centre's policy."""

    state_dir: AbsolutePath
    """The launcher's directory on the file system that login and compute nodes share."""
    identity: Identity
    """Who this centre is."""
    batch: Batch = Batch()
    """Its batch system."""
    pilot: PilotShape
    """The shape of a pilot."""
    limits: Limits
    """How much."""
    when: When = When()
    """When."""
    conditions: Conditions = Conditions()
    """For whom."""
    assume: Assume = Assume()
    """What nodes offer."""
    backoff: BackOff = BackOff()
    """When to slow down."""

    @model_validator(mode="after")
    def _clauses_agree(self) -> "Policy":
        problems = list(_contradictions(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def image_store_dir(self) -> Path:
        """Where pilots keep images."""
        return self.assume.image_store_dir or self.state_dir / "images"


def _contradictions(policy: Policy) -> "list[str]":
    pilot, limits, conditions = policy.pilot, policy.limits, policy.conditions
    budget_s = None if limits.core_hours_per_day is None else limits.core_hours_per_day * 3600
    refused_too = sorted(set(conditions.centres) & set(conditions.refused_centres))
    pairs = [
        (
            limits.max_cores is not None and 0 < limits.max_cores < pilot.cores,
            f"limits.max_cores = {limits.max_cores} contradicts pilot.cores = {pilot.cores}: no pilot fits",
        ),
        (
            limits.max_gpus is not None and 0 < limits.max_gpus < pilot.gpus,
            f"limits.max_gpus = {limits.max_gpus} contradicts pilot.gpus = {pilot.gpus}: no pilot fits",
        ),
        (
            budget_s is not None and 0 < budget_s < pilot.cores * pilot.walltime_s,
            f"limits.core_hours_per_day = {limits.core_hours_per_day} contradicts "
            f"pilot.cores = {pilot.cores} for pilot.walltime_s = {pilot.walltime_s}: no pilot fits",
        ),
        (
            pilot.min_walltime_s > pilot.walltime_s,
            f"pilot.min_walltime_s = {pilot.min_walltime_s} contradicts "
            f"pilot.walltime_s = {pilot.walltime_s}",
        ),
        (
            pilot.idle_exit_s >= pilot.walltime_s,
            f"pilot.idle_exit_s = {pilot.idle_exit_s} contradicts pilot.walltime_s = {pilot.walltime_s}",
        ),
        (
            pilot.drain_grace_s >= pilot.min_walltime_s,
            f"pilot.drain_grace_s = {pilot.drain_grace_s} contradicts pilot.min_walltime_s = "
            f"{pilot.min_walltime_s}: such a pilot would drain from its first second",
        ),
        (
            policy.backoff.fizzle_s <= pilot.idle_exit_s,
            f"backoff.fizzle_s = {policy.backoff.fizzle_s} contradicts "
            f"pilot.idle_exit_s = {pilot.idle_exit_s}: a canary without work would count as a success",
        ),
        (
            conditions.max_job_s is not None and conditions.max_job_s > pilot.walltime_s,
            f"conditions.max_job_s = {conditions.max_job_s} contradicts "
            f"pilot.walltime_s = {pilot.walltime_s}: no pilot lives long enough for such a job",
        ),
        (
            bool(refused_too),
            f"conditions.centres contradicts conditions.refused_centres: both name {', '.join(refused_too)}",
        ),
    ]
    return [message for contradicts, message in pairs if contradicts]


def policy_path(given: Optional[Path] = None) -> Path:
    """The file to read: the one given, else `$FALLOW_POLICY`, else `/etc/fallow/policy.toml`."""
    if given is not None:
        return given
    return Path(os.environ.get(ENVIRONMENT) or DEFAULT_PATH)


def read_policy(given: Optional[Path] = None) -> Policy:
    """Read and validate the policy.

    Raises:
        SettingsError: The file is missing, is no TOML, has unknown names, or contradicts itself.
    """
    path = policy_path(given)
    if not path.exists():
        raise SettingsError(
            f"There is no policy at {path}.",
            remedy=f"Write one, or name it with --policy or ${ENVIRONMENT}.",
        )
    return load(Policy, path)
