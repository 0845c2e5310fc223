"""The gateways of a federation's one or two hubs, asked as if they were one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fallow.errors import NotAvailableError
from fallow.web import PASSING, Answer, Web

if TYPE_CHECKING:
    from fallow.client import ClientSettings

logger = logging.getLogger(__name__)


class Gateways:
    """Sends requests to the hub that answered last, and to the other one where that gives no answer.

    Both work on the same records, and whatever a client asks may be asked twice, so it does not matter which one answers.

    Args:
        settings: Which hubs there are.
        web: How requests are sent.
    """

    def __init__(self, settings: ClientSettings, web: Web) -> None:
        self._hubs = (settings.hub, *([settings.other_hub] if settings.other_hub else []))
        self._web = web

    def send(self, method: str, path: str, *, repeatable: bool, **what: Any) -> Answer:
        """Send one request and read the whole answer, as `Web.send`.

        Args:
            method: The HTTP method.
            path: What follows on the hub's URL.
            repeatable: Whether to try again, for up to a minute, while no hub answers.
            **what: Token and body, as for `Web.send`.

        Raises:
            NotAvailableError: No complete answer came.
        """
        hubs = self._hubs
        for hub in hubs if len(hubs) > 1 else ():
            answer = self._once(method, hub, path, what)
            if answer is not None:
                self._hubs = (hub, *(other for other in hubs if other != hub))
                return answer
        return self._web.send(method, f"{hubs[0]}{path}", repeatable=repeatable, **what)

    def _once(self, method: str, hub: str, path: str, what: dict[str, Any]) -> Answer | None:
        """The answer of one of two hubs; None where the other one should be asked."""
        try:
            answer = self._web.send(method, f"{hub}{path}", **what)
        except NotAvailableError as error:
            if not error.retryable:
                raise
            logger.warning("%s", error.what)
            return None
        return None if answer.status in PASSING else answer
