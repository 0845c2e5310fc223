"""What a validated token says."""

from __future__ import annotations

from dataclasses import dataclass

from fallow.tokens.issuers import TrustedIssuer
from fallow.tokens.scopes import Scopes


@dataclass(frozen=True)
class Claims:
    """The claims of one token; `validate` makes one only after every check has passed."""

    issuer: TrustedIssuer
    """The trusted issuer that signed the token."""
    sub: str
    """The subject: printable ASCII, 1 to 255 characters, unique within the issuer."""
    jti: str
    """The token's id, unique within the issuer."""
    aud: tuple[str, ...]
    exp: float
    """Unix time from which on the token is refused."""
    iat: float
    nbf: float | None
    version: str
    """`wlcg.ver`."""
    scopes: Scopes
    """What the scope claim allows; empty where the token has none."""
    groups: tuple[str, ...]
    """`wlcg.groups`, in the token's order."""

    @property
    def iss(self) -> str:
        """The issuer's URL, as in the token."""
        return self.issuer.url
