"""The queue of a hub, opened with the tokens that its gateway gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallow.messages import SCOPE_USER
from fallow.queue.client import Queue
from fallow.queue.session import QueueToken

if TYPE_CHECKING:
    from fallow.hub import HubClient


def open_queue(hub: HubClient) -> Queue:
    """The queue of the federation behind `hub`; the user's token is exchanged whenever the queue needs one.

    Raises:
        NotAvailableError: The gateway cannot be reached.
    """

    def new_token() -> QueueToken:
        answer = hub.exchange(SCOPE_USER)
        return QueueToken(answer.token, answer.expires.timestamp())

    return Queue(hub.federation(), new_token)
