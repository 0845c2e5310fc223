"""What a WLCG token is worth at the hub: HTCondor rights, never wider and never longer than what came in."""

from __future__ import annotations

from collections.abc import Iterable

from fallow.tokens import TokenError, authorise
from fallow_matcher.gateway.access import Launcher, User
from fallow_matcher.htcondor import keys
from fallow_matcher.htcondor.idtokens import PILOT_RIGHTS, Mint, Minted, scope_of
from fallow_matcher.identities import pilot_identity, user_identity
from fallow_matcher.settings import HubSettings

_NEEDS = {"READ": "query", "WRITE": "submit"}
"""A user's HTCondor right → the operation on jobs that the WLCG token must allow."""


def rights_of(caller: Launcher | User) -> tuple[str, ...]:
    """Every HTCondor right that the caller's token is worth."""
    if isinstance(caller, Launcher):
        return PILOT_RIGHTS
    return tuple(right for right, need in _NEEDS.items() if authorise(caller.claims, need).allowed)


def granted(caller: Launcher | User, requested: str | None) -> tuple[str, ...]:
    """The rights to hand out: what was asked for, as far as the token is worth it.

    Args:
        caller: Who asks.
        requested: Scopes as `condor:/READ condor:/WRITE`; None asks for everything.

    Raises:
        TokenError: `insufficient_scope`: nothing is left.
    """
    possible = rights_of(caller)
    if requested is not None:
        wanted = set(requested.split())
        possible = tuple(right for right in possible if scope_of((right,)) in wanted)
    if not possible:
        raise TokenError(
            "insufficient_scope",
            "The token allows nothing of what was asked for.",
            remedy="compute.read gives condor:/READ, compute.create gives condor:/WRITE.",
            iss=caller.iss,
            jti=caller.jti,
        )
    return possible


def work_types_of(caller: Launcher | User, restricted: Iterable[str]) -> tuple[str, ...]:
    """Those of the restricted work types that a user's groups allow: `<centre root>/<centre>/<work type>`."""
    if isinstance(caller, Launcher):
        return ()
    root = f"{caller.claims.issuer.centre_root or '/fallow'}/{caller.centre}"
    return tuple(name for name in restricted if f"{root}/{name}" in caller.claims.groups)


def exchange(
    caller: Launcher | User, requested: str | None, *, settings: HubSettings, mint: Mint, now: float
) -> Minted:
    """Mint the HTCondor token for a caller.

    Raises:
        TokenError: The token allows nothing of what was asked for, or has no whole second left.
    """
    rights = granted(caller, requested)
    if isinstance(caller, Launcher):
        role, life_s = keys.pilot_key(caller.centre), settings.lives.pilot_token_s
        identity = pilot_identity(caller.centre, settings.trust_domain)
    else:
        role, life_s = keys.USER_KEY, settings.lives.user_token_s
        identity = user_identity(caller.centre, caller.name, settings.trust_domain)
    expires = int(min(now + life_s, caller.claims.exp))
    if expires <= now:
        raise TokenError("token_expired", "The token ends now.", iss=caller.iss, jti=caller.jti)
    allowed = work_types_of(caller, settings.restricted_work_types) if "WRITE" in rights else ()
    return mint.mint(role, identity, rights, now=int(now), expires=expires, work_types=allowed)
