"""A login in a browser: the authorisation code flow (RFC 6749 section 4.1) of a public client, with PKCE (RFC 7636)."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import urlencode

from fallow.errors import NotAvailableError, RefusedError
from fallow.login.oidc import Metadata, Provider, Tokens
from fallow.login.peek import peek


@dataclass(frozen=True)
class Attempt:
    """What ties the answer of an issuer to the browser that was sent there. Each part is used once."""

    state: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        """The PKCE challenge, by the method S256."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def address(
    metadata: Metadata, attempt: Attempt, *, client_id: str, redirect_uri: str, scope: str, audience: str
) -> str:
    """Where to send the browser.

    Raises:
        NotAvailableError: The issuer offers no such login.
    """
    if metadata.authorization_endpoint is None:
        raise NotAvailableError(f"{metadata.issuer} offers no login in a browser.")
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "audience": audience,
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    joint = "&" if "?" in metadata.authorization_endpoint else "?"
    return f"{metadata.authorization_endpoint}{joint}{urlencode(query)}"


def redeem(
    provider: Provider,
    attempt: Attempt,
    *,
    issuer: str,
    client_id: str,
    redirect_uri: str,
    code: str,
    state: str,
    said_issuer: Optional[str],
) -> Tokens:
    """The tokens of a login that came back.

    The ID token comes from the issuer itself over TLS, so its signature need not be checked (OpenID Connect Core 1.0,
    section 3.1.3.7); that it is the answer to this attempt must be.

    Args:
        provider: The issuer.
        attempt: What the browser was sent away with.
        issuer: The issuer that the browser was sent to.
        client_id: The client that it was sent as.
        redirect_uri: Where it was to come back to.
        code: What it brought.
        state: What it brought.
        said_issuer: The issuer that it says it comes from (RFC 9207), if it says so.

    Raises:
        RefusedError: The answer does not belong to the attempt, or the issuer refused.
        NotAvailableError: The issuer does not answer, or nonsense.
    """
    if not hmac.compare_digest(state.encode(), attempt.state.encode()) or said_issuer not in (None, issuer):
        raise RefusedError("The answer of the issuer is not to this login.", remedy="Log in again.")
    tokens = provider.redeem_code(code, attempt.verifier, redirect_uri)
    if not tokens.id_token:
        raise NotAvailableError("The issuer gave no ID token, so the login cannot be checked.")
    claims = peek(tokens.id_token)[1]
    audience = claims.get("aud")
    for_us = client_id in audience if isinstance(audience, list) else audience == client_id
    if claims.get("iss") != issuer or not for_us or claims.get("nonce") != attempt.nonce:
        raise RefusedError("The ID token of the issuer is not of this login.", remedy="Log in again.")
    return tokens
