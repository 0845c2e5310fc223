"""What the launcher and a person's deputy say to each other: one JSON document in, one out."""

from datetime import datetime, timezone
from typing import Annotated, Optional

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from fallow.offers import CentreName
from fallow.settings import Settings
from fallow_pilots.accounts.consent import Consent
from fallow_pilots.batch.model import JobStatus, Phase, Stop
from fallow_pilots.nodefindings import NodeCheck
from fallow_pilots.order import Order
from fallow_pilots.outcome import Outcome, printable
from fallow_pilots.policy import Batch
from fallow_pilots.policy.words import BatchGpu
from fallow_pilots.spec import PILOT_ID, PilotSpec

PilotId = Annotated[str, StringConstraints(pattern=PILOT_ID)]
Words = Annotated[str, StringConstraints(max_length=500), AfterValidator(printable)]
EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
NativeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\[\]-]{0,127}$")]


class Look(Settings):
    """What of the person's pilots is wanted to be known."""

    pilots: tuple[PilotId, ...] = ()
    """Those that the batch system is asked for."""
    awaited: tuple[PilotId, ...] = ()
    """Those whose outcome is wanted."""
    running: tuple[PilotId, ...] = ()
    """Those whose node check is wanted."""


class Start(Settings):
    """One pilot to submit; where its files lie and what is run is the deputy's own affair."""

    spec: PilotSpec
    """What it is told."""
    nodes: int = Field(ge=1)
    """Nodes of its allocation."""
    gpu_model: Optional[BatchGpu] = None
    """The batch system's name for the only model of GPU that will do."""
    deadline: Optional[AwareDatetime] = None
    """When it must have ended."""


class Stopping(Settings):
    """Pilots that are to leave."""

    how: Stop
    """How firmly they are asked."""
    orders: dict[PilotId, Order]
    """What each finds when it is signalled."""


class Request(Settings):
    """What the launcher wants; a part that is none is not wanted."""

    centre: CentreName
    """The launcher's centre."""
    batch: Batch
    """Its batch system, and what pilots of this person are charged to."""
    token: Optional[str] = Field(default=None, repr=False)
    """The token of this person's pilots, which replaces the last one."""
    way: Optional[str] = Field(default=None, repr=False)
    """By whom the nodes reach the hub, where they do not dial it."""
    look: Optional[Look] = None
    stop: Optional[Stopping] = None
    start: Optional[Start] = None


class SeenJob(Settings):
    """One pilot's job, as the batch system shows it to the person."""

    name: Words
    native_id: NativeId
    phase: Phase
    detail: Words
    started: Optional[AwareDatetime] = Field(default=None, ge=EARLIEST)
    node: Optional[Words] = None
    barred: Optional[Words] = None

    def status(self) -> JobStatus:
        """The same, as the launcher's own batch system would say it."""
        return JobStatus(
            self.name, self.native_id, self.phase, self.detail, self.started, self.node, self.barred
        )


class Answer(Settings):
    """What came of it."""

    consent: Optional[Consent] = None
    """What the person has consented to; none: never to anything."""
    trouble: Optional[Words] = None
    """Why the request could not be fulfilled."""
    jobs: tuple[SeenJob, ...] = ()
    """All jobs of the person's pilots that the batch system knows."""
    outcomes: dict[PilotId, Outcome] = Field(default_factory=dict)
    """What pilots left."""
    checks: dict[PilotId, NodeCheck] = Field(default_factory=dict)
    """What pilots found on their nodes."""
    native_id: Optional[NativeId] = None
    """The batch system's id of the pilot that was submitted."""
