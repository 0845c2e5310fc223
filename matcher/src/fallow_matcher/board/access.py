"""Who may use a page: the same policies as the API's, held against the token of the session."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, Request

from fallow.tokens import TokenError
from fallow_matcher.board.sessions import Session
from fallow_matcher.gateway.access import Access, Caller, Policy, User


class HubsOperator(Policy):
    """Those may whom the hub's settings name as its operators."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: ARG002, D102
        if not isinstance(caller, User) or not caller.operates_hub:
            raise TokenError("forbidden", "Only an operator of the hub may see this.")


@dataclass(frozen=True)
class Reads(Access):
    """The dependency of a page that shows something."""

    def __call__(self, request: Request) -> Caller:
        """Identify who is logged in and hold that against the policy."""
        return self._identified(request)[0]

    def _identified(self, request: Request) -> tuple[Caller, Session]:
        services = request.app.state.services
        session: Session | None = services.sessions.find(request)
        if session is None:
            raise TokenError("invalid_token", "You are not logged in, or your session has ended.")
        caller: Caller = services.callers.member(session.token)
        services.limits.count_caller(caller.iss, caller.sub)
        self.policy.require(caller, request.path_params)
        return caller, session


@dataclass(frozen=True)
class Acts(Reads):
    """The dependency of a form: also checks that it is one of our own pages that sent it."""

    def __call__(self, request: Request, csrf: Annotated[str, Form(max_length=100)] = "") -> Caller:
        """Identify who is logged in, and hold that and the form against the policy."""
        caller, session = self._identified(request)
        own = request.app.state.services.settings.page_url
        # Browsers name the origin with every form that they send; one that names none is refused as well.
        if request.headers.get("origin") != own or not hmac.compare_digest(
            csrf.encode(), session.csrf.encode()
        ):
            raise TokenError(
                "forbidden", "The form does not come from a page of this session. Load the page again."
            )
        return caller
