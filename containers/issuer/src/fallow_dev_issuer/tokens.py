"""What a token says: claims of the WLCG Common JWT Profile, and of an OpenID Connect ID token."""

import uuid
from typing import Any

from fallow_dev_issuer.people import Person

ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
"""The profile's audience for a token that every service takes; used where a client asks for none."""

BACKDATED_S = 60
"""How far `nbf` lies before `iat`, so that a service with a slow clock takes a fresh token."""


def access_claims(
    issuer: str,
    person: Person,
    *,
    client_id: str,
    audience: list[str],
    scopes: list[str],
    now: float,
    life_s: int,
) -> dict[str, Any]:
    """The claims of an access token.

    Args:
        issuer: The `iss` claim.
        person: Whom it is about.
        client_id: The OAuth client that asked.
        audience: Services that may take it; `ANY_AUDIENCE` if empty.
        scopes: What it grants, already checked against the person.
        now: The time of issue, unix seconds.
        life_s: Seconds until it expires.
    """
    issued = int(now)
    audience = audience or [ANY_AUDIENCE]
    claims: dict[str, Any] = {
        "wlcg.ver": "1.0",
        "iss": issuer,
        "sub": person.sub,
        "aud": audience[0] if len(audience) == 1 else audience,
        "iat": issued,
        "nbf": issued - BACKDATED_S,
        "exp": issued + life_s,
        "jti": str(uuid.uuid4()),
        "client_id": client_id,
        "scope": " ".join(scopes),
    }
    groups = person.groups_for(scopes)
    if groups is not None:
        claims["wlcg.groups"] = groups
    return claims


def identity_claims(
    issuer: str, person: Person, *, client_id: str, now: float, life_s: int, nonce: str = ""
) -> dict[str, Any]:
    """The claims of an ID token: for the client, about the person; it opens no service."""
    issued = int(now)
    return {
        "wlcg.ver": "1.0",
        "iss": issuer,
        "sub": person.sub,
        "aud": client_id,
        "iat": issued,
        "exp": issued + life_s,
        "jti": str(uuid.uuid4()),
        "name": person.name,
        **({"nonce": nonce} if nonce else {}),
    }
