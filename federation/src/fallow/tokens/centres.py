"""The centre that a token's bearer belongs to."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from fallow.offers import CentreName
from fallow.tokens.claims import Claims
from fallow.tokens.errors import TokenError


def centre_of(claims: Claims) -> str:
    """The centre of a token's bearer: what the issuer asserts, never what a request says.

    Groups name the centre also where the token holds capabilities: here they say who the bearer is.

    Raises:
        TokenError: `forbidden`: the issuer's settings give this bearer no centre, or more than one.
    """
    issuer = claims.issuer
    if issuer.centre:
        return issuer.centre
    found = {issuer.centre_groups[group] for group in claims.groups if group in issuer.centre_groups}
    if issuer.centre_root:
        root = issuer.centre_root + "/"
        found = {group[len(root) :] for group in claims.groups if group.startswith(root)}
        found = {name for name in found if _is_centre(name)}
    if len(found) == 1:
        return found.pop()
    what = (
        f"names several centres: {', '.join(sorted(found))}" if found else "has no group that names a centre"
    )
    raise TokenError(
        "forbidden",
        f"The token {what}.",
        remedy="Ask the issuer for a token with the group of one centre.",
        iss=claims.iss,
        jti=claims.jti,
    )


def _is_centre(name: str) -> bool:
    try:
        _CENTRE.validate_python(name)
    except ValidationError:
        return False
    return True


_CENTRE = TypeAdapter(CentreName)
