"""Why a job waits, or why it ran where and when it did; gateway and client share it."""

from enum import Enum
from typing import Optional

from pydantic import Field

from fallow.offers import CentreName, Message, UtcMoment
from fallow.queue.records import JobState


class Obstacle(Message):
    """One reason for which an offer cannot take the job."""

    reason: str
    """A sentence: what the job needs and what there is, or the offer's own condition."""
    clause: str = ""
    """The ClassAd expression that is not true; empty where it is none."""
    change: str = ""
    """The nearest change of the job that would remove this obstacle; empty where there is none."""


class Verdict(Message):
    """One offer, held against the job."""

    centre: CentreName
    fits: bool
    """Whether a pilot of this offer without other work would take the job."""
    words: str
    """One sentence: what hinders it, or how things stand there."""
    obstacles: list[Obstacle] = Field(default_factory=list)
    """What hinders it, the first failing clause first; of several shapes, those of the nearest."""
    pilots: int = Field(default=0, ge=0)
    """Pilots of this centre in the pool now."""
    room: int = Field(default=0, ge=0)
    """Of these, how many have room for the job now."""
    ahead: Optional[int] = Field(default=None, ge=0)
    """Waiting jobs that this centre's slots would take first; None where the job does not wait or does not fit."""


class Place(Message):
    """Where a waiting job stands: `score = urgency x weight x balance`, and the order that follows from it."""

    centre: str
    work_type: str
    resource_class: str
    wait_s: float = Field(ge=0)
    score: float = Field(ge=0)
    urgency: float = Field(ge=0)
    """`(wait_s + ageing_s) / ageing_s`."""
    weight: float = Field(ge=0)
    """The work type's weight in the rules."""
    balance: float = Field(ge=0)
    """The balance factor of the job's centre: what it gave and used."""
    ahead: int = Field(ge=0)
    """Waiting jobs of the same kind of resources with a higher score."""
    waiting: int = Field(ge=1)
    """Waiting jobs of the same kind of resources, this one included."""
    group_place: int = Field(ge=1)
    """The place of the job's group (its centre and work type) among the groups that wait, 1 first."""
    groups: int = Field(ge=1)


class EventKind(str, Enum):
    """What may change how long a job waits."""

    DECISION = "decision"
    RULES = "rules"
    OFFER = "offer"
    EVICTION = "eviction"


class Event(Message):
    """Something that changed, and when."""

    kind: EventKind
    at: UtcMoment
    words: str


class Run(Message):
    """The job's present or last run."""

    centre: str
    pilot: str
    started: UtcMoment
    ended: Optional[UtcMoment] = None
    why: list[str] = Field(default_factory=list)
    """Sentences: why there, why then."""


class Explanation(Message):
    """Body of `GET /v1/jobs/{id}/explain`."""

    job: str
    name: str = ""
    state: JobState
    at: UtcMoment
    """When this was true, by the hub's clock."""
    summary: str
    """The answer in one or two sentences."""
    requests: str = ""
    """What the job asks for, in words."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """Every centre's open offer, those that fit first."""
    place: Optional[Place] = None
    """Of a waiting job."""
    run: Optional[Run] = None
    changes: list[Event] = Field(default_factory=list)
    """What changed last, the latest first."""
