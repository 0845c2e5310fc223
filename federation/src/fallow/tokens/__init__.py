"""WLCG tokens (profile 1.0 to 1.3): who they are from, what they allow, and where a client finds its own.

    validator = Validator(load(TrustedIssuers, path))
    claims = validator.validate(token, "https://hub.example.org", time.time())
    authorise(claims, "submit").require()
    centre = centre_of(claims)

`validate` needs the network only for the keys of a trusted issuer, and only when they are not cached.
Everything that is wrong with a token is a `TokenError` with the code and the HTTP status that a service
answers with.
"""

from fallow.tokens.authorisation import Decision, authorise
from fallow.tokens.centres import centre_of
from fallow.tokens.claims import Claims
from fallow.tokens.errors import STATUS, TokenError
from fallow.tokens.issuers import TrustedIssuer, TrustedIssuers
from fallow.tokens.operations import OPERATIONS
from fallow.tokens.paths import from_url
from fallow.tokens.validator import Validator, default_validator, validate

__all__ = [
    "OPERATIONS",
    "STATUS",
    "Claims",
    "Decision",
    "TokenError",
    "TrustedIssuer",
    "TrustedIssuers",
    "Validator",
    "authorise",
    "centre_of",
    "default_validator",
    "from_url",
    "validate",
]
