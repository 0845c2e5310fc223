"""Who may call what: one policy per route, and the guard that finds a route without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from fallow.tokens import Claims, TokenError, authorise, centre_of
from fallow_matcher.htcondor.idtokens import Mint, is_idtoken
from fallow_matcher.htcondor.revocation import Revoked
from fallow_matcher.identities import user_name
from fallow_matcher.settings import HubSettings


@dataclass(frozen=True)
class Caller:
    """Whoever holds a good token, and the centre that it belongs to."""

    iss: str
    sub: str
    jti: str
    centre: str


@dataclass(frozen=True)
class Launcher(Caller):
    """The launcher of a centre."""

    claims: Claims


@dataclass(frozen=True)
class User(Caller):
    """A person at a centre."""

    claims: Claims
    name: str
    """The user's name in HTCondor identities and buckets."""
    speaks_for_centre: bool
    """Whether the token asserts the group of those who speak for their centre on the rules."""
    operates_hub: bool
    """Whether the hub's settings name the person as one of its operators."""


@dataclass(frozen=True)
class Pilot(Caller):
    """A pilot on a compute node: it holds nothing but the HTCondor token that its launcher gave it."""


class Callers:
    """Finds out who calls, from a checked token and the hub's settings alone.

    Args:
        settings: The hub's settings.
        validate: `Validator.validate`.
        mint: Knows the hub's own tokens again.
        revoked: What is revoked now.
    """

    def __init__(
        self,
        settings: HubSettings,
        validate: Callable[[str, list[str], float], Claims],
        mint: Mint,
        revoked: Callable[[], Revoked],
    ) -> None:
        self._settings = settings
        self._validate = validate
        self._mint = mint
        self._revoked = revoked
        self._launchers = {
            (centre.launcher_issuer, centre.launcher_sub): centre.name for centre in settings.centres
        }
        self._admin_groups = {centre.name: centre.admin_group for centre in settings.centres}

    def member(self, token: str) -> Launcher | User:
        """The launcher or user that holds a WLCG token.

        Raises:
            TokenError: The token is refused, or its bearer has no centre here.
        """
        claims = self._validate(token, self._settings.audiences, time.time())
        centre = self._launchers.get((claims.iss, claims.sub))
        caller: Launcher | User
        if centre is not None:
            caller = Launcher(claims.iss, claims.sub, claims.jti, centre, claims)
        else:
            name = user_name(claims.iss, claims.sub, plain_names_issuer=self._settings.plain_names_issuer)
            own = centre_of(claims)
            root = claims.issuer.centre_root or "/fallow"
            speaks = (self._admin_groups.get(own) or f"{root}/{own}/admin") in claims.groups
            operates = f"{own}.{name}" in self._settings.operators
            caller = User(claims.iss, claims.sub, claims.jti, own, claims, name, speaks, operates)
        self._require_standing(caller)
        return caller

    def identify(self, token: str) -> Caller:
        """The launcher or user that holds a WLCG token, or the pilot that holds an HTCondor one.

        Raises:
            TokenError: The token is refused, or its bearer has no centre here.
        """
        if not is_idtoken(token):
            return self.member(token)
        found = self._mint.pilot(token, self._settings.centre_names, now=time.time())
        caller = Pilot(self._settings.trust_domain, found.identity, found.jti, found.centre)
        self._require_standing(caller)
        return caller

    def _require_standing(self, caller: Caller) -> None:
        revoked = self._revoked()
        if caller.centre not in self._settings.centre_names:
            raise _refused("forbidden", f"{caller.centre} is no centre of this federation.", caller)
        if caller.centre in revoked.centres:
            raise _refused("token_revoked", f"The centre {caller.centre} is revoked.", caller)
        if caller.jti in revoked.jtis:
            raise _refused("token_revoked", "The token is revoked.", caller)


class Policy:
    """Decides whether a caller may use a route; `None` is somebody without a token."""

    needs_token = True

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:
        """Return if the call is allowed.

        Args:
            caller: Who calls.
            path: The parameters in the request's path.

        Raises:
            TokenError: It is not.
        """
        raise NotImplementedError


class Anybody(Policy):
    """Everybody may, without a token: the route tells nothing that is not public."""

    needs_token = False

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: ARG002, D102
        return


class Member(Policy):
    """Users, launchers and pilots of the federation's centres may."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: ARG002, D102
        if caller is None:
            raise TokenError("invalid_token", "This call needs a bearer token.")


@dataclass(frozen=True)
class UserWho(Policy):
    """Users may whose token allows an operation on jobs."""

    operation: str

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: ARG002, D102
        if not isinstance(caller, User):
            raise TokenError("forbidden", "This call is for users.")
        authorise(caller.claims, self.operation).require()


class OwnCentresLauncher(Policy):
    """The launcher of the centre that the path names may."""

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: D102
        if not isinstance(caller, Launcher) or caller.centre != path.get("centre"):
            raise TokenError("forbidden", "Only the centre's own launcher may do this.")


class CentresAdmin(Policy):
    """People may who speak for their centre: never a launcher, whose token lies on a login node, nor a pilot.

    As for the centre itself, the group counts also where the token holds capabilities: it says who the bearer is.
    """

    def require(self, caller: Caller | None, path: Mapping[str, str]) -> None:  # noqa: ARG002, D102
        if not isinstance(caller, User) or not caller.speaks_for_centre:
            raise TokenError(
                "forbidden", "Only a person whose token has the admin group of a centre may speak for it."
            )


@dataclass(frozen=True)
class Access:
    """The dependency that every route has: identifies the caller, asks the policy, remembers both.

    The token exchange alone has its token in the body; it asks `Callers` itself and is `Anybody` here.
    """

    policy: Policy
    counts: bool = True
    """Whether its calls are counted by identity; pilots of a centre share one, and jobs have many."""

    def __call__(self, request: Request) -> Caller | None:
        """Identify the caller of a request and hold it against the policy."""
        caller = None
        if self.policy.needs_token:
            caller = request.app.state.services.callers.identify(bearer(request))
            if self.counts:
                request.app.state.services.limits.count_caller(caller.iss, caller.sub)
        self.policy.require(caller, request.path_params)
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


def _refused(code: str, what: str, caller: Caller) -> TokenError:
    return TokenError(code, what, iss=caller.iss, jti=caller.jti)
