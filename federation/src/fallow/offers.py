"""What a centre offers, until when, on what conditions; launcher, gateway, client and matcher share it."""

from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Optional

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from fallow.documented import Documented


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc)


CentreName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A centre's name: it becomes part of identities, file names and ClassAd strings, so it is narrow."""

Sentence = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of text for people; no control characters, so that it cannot forge a terminal or a log line."""

CAPABILITY = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""A word for what nodes can do; a shape has `MOST_CAPABILITIES` of them."""
MOST_CAPABILITIES = 100

UtcMoment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with a time zone, kept in UTC."""


class Message(Documented):
    """Base of what passes between parts: immutable; unknown fields are dropped: newer parts may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class OfferState(str, Enum):
    """Whether a centre takes work."""

    OPEN = "open"
    DRAINING = "draining"
    WITHDRAWN = "withdrawn"


class Shape(Message):
    """One kind of slot that a centre's pilots bring, and how many of them."""

    cores: int = Field(ge=1, le=100_000)
    memory_mb: int = Field(ge=1, le=100_000_000)
    disk_mb: int = Field(ge=0, le=10_000_000_000)
    """Scratch space for jobs; 0: what the node's scratch directory has free."""
    gpus: int = Field(default=0, ge=0, le=1_000)
    gpu_model: str = Field(default="", max_length=100, pattern=r"^[\x20-\x7e]*$")
    count: int = Field(ge=0, le=1_000_000)
    """How many pilots of this shape the centre would run at once."""
    walltime_s: Optional[int] = Field(default=None, ge=1, le=366 * 86_400)
    """How long a pilot of this shape lives at most, so how long a job may ask for; None where the centre does not say."""
    capabilities: list[Annotated[str, StringConstraints(pattern=CAPABILITY)]] = Field(
        default_factory=list, max_length=MOST_CAPABILITIES
    )
    """What the node can do beyond its size, e.g. `avx512`, `nested-containers`, `scratch-ssd`."""


class Condition(Message):
    """One condition of an offer: what people read and, where the pool enforces it, what START says."""

    sentence: Sentence
    requirement: str = Field(default="", max_length=2_000, pattern=r"^[\x20-\x7e]*$")
    """A ClassAd expression over the job (`TARGET`); empty where the condition is for people only."""


class Reclaims(Message):
    """How long a centre's pilots took to be gone when somebody there asked for their capacity."""

    count: int = Field(ge=1)
    """Pilots that were asked to go, of those that the launcher remembers: two weeks."""
    mean_s: float = Field(ge=0)
    longest_s: float = Field(ge=0)


class Offer(Message):
    """What one centre offers from `starts` to `expires`. An offer that is not renewed ends by itself."""

    centre: CentreName
    shapes: list[Shape] = Field(max_length=100)
    running_pilots: int = Field(default=0, ge=0, le=1_000_000)
    starts: UtcMoment
    expires: UtcMoment
    conditions: list[Condition] = Field(default_factory=list, max_length=100)
    state: OfferState = OfferState.OPEN
    reclaims: Optional[Reclaims] = None
    """None where no pilot was asked to go."""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> "Offer":
        if self.expires <= self.starts:
            raise ValueError(f"expires ({self.expires}) is not after starts ({self.starts})")
        return self

    def holds_at(self, moment: datetime) -> bool:
        """Whether the offer stands at `moment` (with a time zone)."""
        return self.starts <= moment < self.expires


class Offers(Message):
    """Body of `GET /v1/offers`."""

    offers: list[Offer]
