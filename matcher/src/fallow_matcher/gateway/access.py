"""Who may call what: one policy per route, and the guard that finds a route without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from fallow.tokens import Claims, TokenError, authorise, centre_of
from fallow_matcher.identities import user_name
from fallow_matcher.settings import HubSettings


@dataclass(frozen=True)
class Launcher:
    """The launcher of a centre."""

    claims: Claims
    centre: str


@dataclass(frozen=True)
class User:
    """A person at a centre."""

    claims: Claims
    centre: str
    name: str
    """The user's name in HTCondor identities and storage prefixes."""


Caller = Launcher | User


class Callers:
    """Finds out who calls, from a validated token and the hub's settings alone.

    Args:
        settings: The hub's settings.
        validate: `Validator.validate`.
        revoked_centres: The centres that are revoked now.
    """

    def __init__(
        self,
        settings: HubSettings,
        validate: Callable[[str, list[str], float], Claims],
        revoked_centres: Callable[[], frozenset[str]],
    ) -> None:
        self._settings = settings
        self._validate = validate
        self._revoked_centres = revoked_centres
        self._launchers = {
            (centre.launcher_issuer, centre.launcher_sub): centre.name for centre in settings.centres
        }

    def identify(self, token: str) -> Caller:
        """The caller that holds `token`.

        Raises:
            TokenError: The token is refused, or its bearer has no centre here.
        """
        claims = self._validate(token, self._settings.audiences, time.time())
        centre = self._launchers.get((claims.iss, claims.sub))
        caller: Caller
        if centre is not None:
            caller = Launcher(claims, centre)
        else:
            name = user_name(claims.iss, claims.sub, plain_names_issuer=self._settings.plain_names_issuer)
            caller = User(claims, centre_of(claims), name)
        if caller.centre not in self._settings.centre_names:
            raise _refused("forbidden", f"{caller.centre} is no centre of this federation.", claims)
        if caller.centre in self._revoked_centres():
            raise _refused("token_revoked", f"The centre {caller.centre} is revoked.", claims)
        return caller


class Policy:
    """Decides whether a caller may use a route; `None` is somebody without a token."""

    needs_token = True

    def require(self, caller: Caller | None, request: Request) -> None:
        """Return if the call is allowed.

        Raises:
            TokenError: It is not.
        """
        raise NotImplementedError


class Anybody(Policy):
    """Everybody may, without a token: the route tells nothing that is not public."""

    needs_token = False

    def require(self, caller: Caller | None, request: Request) -> None:
        return


class Member(Policy):
    """Users and launchers of the federation's centres may."""

    def require(self, caller: Caller | None, request: Request) -> None:
        if caller is None:
            raise TokenError("invalid_token", "This call needs a bearer token.")


@dataclass(frozen=True)
class UserWho(Policy):
    """Users may whose token allows an operation on jobs."""

    operation: str

    def require(self, caller: Caller | None, request: Request) -> None:
        if not isinstance(caller, User):
            raise TokenError("forbidden", "This call is for users.")
        authorise(caller.claims, self.operation).require()


class OwnCentresLauncher(Policy):
    """The launcher of the centre that the path names may."""

    def require(self, caller: Caller | None, request: Request) -> None:
        if not isinstance(caller, Launcher) or caller.centre != request.path_params.get("centre"):
            raise TokenError("forbidden", "Only the centre's own launcher may do this.")


@dataclass(frozen=True)
class Access:
    """The dependency that every route has: identifies the caller, asks the policy, remembers both.

    The token exchange alone has its token in the body; it asks `Callers` itself and is `Anybody` here.
    """

    policy: Policy

    def __call__(self, request: Request) -> Caller | None:
        """Identify the caller of a request and hold it against the policy."""
        caller = None
        if self.policy.needs_token:
            caller = request.app.state.services.callers.identify(bearer(request))
            request.app.state.services.limits.count_caller(caller.claims.iss, caller.claims.sub)
        self.policy.require(caller, request)
        return caller


def bearer(request: Request) -> str:
    """The request's bearer token.

    Raises:
        TokenError: There is none, or more than one.
    """
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenError("invalid_token", "This call needs one header `Authorization: Bearer <token>`.")
    return token.strip()


def routes_without_policy(app: FastAPI) -> list[str]:
    """The routes that anybody could call because nobody thought of who may."""
    found = []
    for route in app.routes:
        guards = (
            [part.call for part in route.dependant.dependencies if isinstance(part.call, Access)]
            if isinstance(route, APIRoute)
            else []
        )
        if len(guards) != 1:
            found.append(getattr(route, "path", repr(route)))
    return found


def _refused(code: str, what: str, claims: Claims) -> TokenError:
    return TokenError(code, what, iss=claims.iss, jti=claims.jti)
