"""An issuer's metadata: where its keys are (OpenID Connect Discovery 1.0, RFC 8414)."""

from __future__ import annotations

from urllib.parse import urlsplit

from fallow.errors import NotAvailableError
from fallow.tokens.fetch import Fetch
from fallow.tokens.issuers import TrustedIssuer

OIDC = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


def locations(url: str) -> list[str]:
    """Where an issuer's metadata may be, most usual first."""
    parts = urlsplit(url)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return list(dict.fromkeys([root + path + OIDC, root + OIDC + path, root + OAUTH + path]))


def find_jwks_uri(issuer: TrustedIssuer, fetch: Fetch) -> str:
    """Ask the issuer where its keys are.

    Raises:
        NotAvailableError: No location gives metadata that names exactly this issuer.
    """
    problems = []
    for location in locations(issuer.url):
        try:
            document = fetch(location, issuer)
        except NotAvailableError as error:
            problems.append(error.what)
            continue
        uri = document.get("jwks_uri")
        if document.get("issuer") == issuer.url and isinstance(uri, str):
            return uri
        problems.append(f"{location} names another issuer or no jwks_uri.")
    raise NotAvailableError(f"No metadata of {issuer.url}: {' '.join(problems)}", retryable=True)
