"""The queue of a federation, opened with the tokens that its gateway gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from fallow.messages import SCOPE_USER
from fallow.queue.both import Queues
from fallow.queue.client import Queue
from fallow.queue.session import QueueToken

if TYPE_CHECKING:
    from fallow.hub import HubClient

OpenQueue = Union[Queue, Queues]
"""The queue of a federation, or both where it has two hubs: the same calls."""


def open_queue(hub: HubClient) -> OpenQueue:
    """The queue of the federation behind `hub`; the user's token is exchanged whenever the queue needs one.

    Where there are two, new jobs go to that of the hub which answers here.

    Raises:
        NotAvailableError: The gateway cannot be reached.
    """

    def new_token() -> QueueToken:
        answer = hub.exchange(SCOPE_USER)
        return QueueToken(answer.token, answer.expires.timestamp())

    federation = hub.federation()
    if not federation.hubs:
        return Queue(federation, new_token)
    places = [{"collector": place.collector, "schedd": place.schedd} for place in federation.hubs]
    own = next(number for number, place in enumerate(places) if place["schedd"] == federation.schedd)
    return Queues([Queue(federation.model_copy(update=place), new_token) for place in places], own)
