"""What was offered and used over time; gateway and client share it."""

from pydantic import Field

from fallow.offers import CentreName, Message, UtcMoment


class Amount(Message):
    """Mean amounts of one resource over a span of time."""

    offered: float = Field(ge=0)
    """In the centre's offer: what its pilots hold and what more it would give."""
    running: float = Field(ge=0)
    """In pilots that were in the pool."""
    idle: float = Field(ge=0)
    """Of that, without a job."""
    used: float = Field(ge=0)
    """Of that, with a job."""


class CapacityPoint(Message):
    """One centre during one span of time."""

    centre: CentreName
    at: UtcMoment
    """Where the span begins."""
    span_s: int = Field(ge=1)
    pilots_offered: float = Field(ge=0)
    pilots_running: float = Field(ge=0)
    cores: Amount
    gpus: Amount


class CapacityHistory(Message):
    """Body of `GET /v1/capacity/history`: oldest first; a span without a point was not recorded."""

    since: UtcMoment
    until: UtcMoment
    step_s: int = Field(ge=1)
    """The length of every point's span."""
    points: list[CapacityPoint]
