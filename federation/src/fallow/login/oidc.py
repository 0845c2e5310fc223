"""An OpenID Connect issuer, seen from a public client: discovery, device flow, code flow, refresh, revocation."""

import re
from typing import Annotated, Optional, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from fallow.errors import NotAvailableError, RefusedError
from fallow.messages import Refusal
from fallow.offers import Message
from fallow.web import Answer, Web, for_people

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

M = TypeVar("M", bound=Message)


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]{1,2000}", url):
        raise ValueError("not an https:// URL")
    return url


HttpsUrl = Annotated[str, AfterValidator(_https)]
Shown = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,100}$")]
"""Text of the issuer that goes to the user's terminal."""


class Metadata(Message):
    """What an issuer says about itself (OpenID Connect Discovery, RFC 8414)."""

    issuer: str
    token_endpoint: HttpsUrl
    authorization_endpoint: Optional[HttpsUrl] = None
    device_authorization_endpoint: Optional[HttpsUrl] = None
    revocation_endpoint: Optional[HttpsUrl] = None


class DeviceAuthorization(Message):
    """A started device flow (RFC 8628 section 3.2)."""

    device_code: str = Field(repr=False)
    user_code: Shown
    verification_uri: HttpsUrl
    verification_uri_complete: Optional[HttpsUrl] = None
    expires_in: int = Field(ge=1)
    interval: int = Field(default=5, ge=0, le=300)


class Tokens(Message):
    """What the token endpoint gives."""

    access_token: str = Field(repr=False, min_length=1, max_length=64_000)
    token_type: str = Field(pattern=r"^(?i:bearer)$")
    expires_in: Optional[int] = None
    refresh_token: str = Field(default="", repr=False)
    id_token: str = Field(default="", repr=False)
    scope: Optional[str] = None


class OAuthRefusedError(RefusedError):
    """The issuer said no.

    Args:
        code: The error code of RFC 6749 or RFC 8628.
    """

    def __init__(self, code: str, said: str) -> None:
        super().__init__(f"The issuer refused: {said.rstrip('.')}.")
        self.code = code


def metadata_urls(issuer: str) -> "list[str]":
    """Where an issuer's metadata may lie: OpenID Connect's place first, then that of RFC 8414."""
    base = issuer.rstrip("/")
    parts = urlsplit(base)
    return [
        f"{base}/.well-known/openid-configuration",
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}",
    ]


def discover(web: Web, issuer: str) -> Metadata:
    """Fetch the metadata of `issuer`.

    Raises:
        NotAvailableError: There is none, or it speaks of another issuer.
    """
    status = 0
    for url in metadata_urls(issuer):
        answer = web.send("GET", url, repeatable=True)
        status = answer.status
        if status == 200:
            found = _read(Metadata, answer)
            if found.issuer != issuer:
                raise NotAvailableError(
                    f"{issuer} says that it is the issuer {for_people(found.issuer)}.",
                    remedy="Name the issuer exactly as its tokens do; a trailing slash matters.",
                )
            return found
    raise NotAvailableError(
        f"{issuer} offers no metadata (status {status}).", remedy="Check the issuer's URL."
    )


class Provider:
    """One issuer and one public client registered there."""

    def __init__(self, web: Web, metadata: Metadata, client_id: str) -> None:
        self._web = web
        self._metadata = metadata
        self._client_id = client_id

    def start_device(self, scope: str, audience: str) -> DeviceAuthorization:
        """Start a device flow.

        Raises:
            NotAvailableError: The issuer offers none.
            OAuthRefusedError: It does not serve this client or these scopes.
        """
        url = self._metadata.device_authorization_endpoint
        if url is None:
            raise NotAvailableError(
                f"{self._metadata.issuer} offers no device flow.",
                remedy="Get a token another way and name its file in BEARER_TOKEN_FILE.",
            )
        form = {"client_id": self._client_id, "scope": scope, "audience": audience}
        return _read(DeviceAuthorization, self._web.send("POST", url, form=form, repeatable=True))

    def redeem_device(self, device_code: str) -> Tokens:
        """Ask once whether the user has approved; `OAuthRefusedError.code` says what else."""
        return self._tokens({"grant_type": DEVICE_GRANT, "device_code": device_code})

    def redeem_code(self, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """Change the code of a browser's login for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
        form = {"code": code, "code_verifier": verifier, "redirect_uri": redirect_uri}
        return self._tokens({"grant_type": "authorization_code", **form})

    def refresh(self, refresh_token: str) -> Tokens:
        """Get a new access token; the issuer may give a new refresh token and end the old one."""
        return self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def revoke(self, token: str) -> bool:
        """Revoke a refresh token; returns whether the issuer offers that.

        Raises:
            FallowError: It offers it, but did not do it.
        """
        url = self._metadata.revocation_endpoint
        if url is None:
            return False
        form = {"client_id": self._client_id, "token": token, "token_type_hint": "refresh_token"}
        _accepted(self._web.send("POST", url, form=form, repeatable=True))
        return True

    def _tokens(self, form: "dict[str, str]") -> Tokens:
        form = {**form, "client_id": self._client_id}
        # Not repeatable: codes and refresh tokens may work once only, and a lost answer has used them up.
        return _read(Tokens, self._web.send("POST", self._metadata.token_endpoint, form=form))


def _accepted(answer: Answer) -> Answer:
    if answer.status == 200:
        return answer
    try:
        refusal = Refusal.model_validate(answer.json())
    except ValueError:
        raise NotAvailableError(
            f"The issuer answered with status {answer.status} and no explanation.",
            retryable=answer.status >= 500 or answer.status == 429,
        ) from None
    if answer.status >= 500 or answer.status == 429:
        raise NotAvailableError(f"The issuer cannot answer now: {for_people(refusal.error)}.", retryable=True)
    said = for_people(refusal.error_description or refusal.error)
    raise OAuthRefusedError(for_people(refusal.error, 80), said)


def _read(model: "type[M]", answer: Answer) -> M:
    try:
        return model.model_validate(_accepted(answer).json())
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        raise NotAvailableError(f"The issuer's answer lacks sense in: {wrong}.") from None
    except ValueError as error:
        raise NotAvailableError(f"The issuer's answer is no JSON object: {error}.") from None
