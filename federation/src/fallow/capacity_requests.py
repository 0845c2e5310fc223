"""What an admin asks of the own centre from afar; only somebody at the centre does it. Gateway and client share it."""

from enum import Enum
from typing import Annotated

from pydantic import Field, StringConstraints

from fallow.offers import CentreName, Message, UtcMoment


class Wanted(str, Enum):
    """What is asked for."""

    WITHDRAW = "withdraw"
    RESUME = "resume"


Why = Annotated[str, StringConstraints(max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of text for people."""


class RequestBody(Message):
    """Body of `PUT /v1/requests/{centre}`."""

    wanted: Wanted
    why: Why = ""


class CapacityRequest(Message):
    """The last request to one centre."""

    centre: CentreName
    wanted: Wanted
    why: Why
    by: str
    """Who asks, as `<centre>.<user>`."""
    at: UtcMoment
    done: bool
    """Whether the centre's offer is by now as was asked: nobody at the centre need do anything more."""


class CapacityRequests(Message):
    """Answer of `GET /v1/requests/{centre}`: the last request, or none."""

    requests: list[CapacityRequest] = Field(max_length=1)
