"""Bodies of the gateway's answers and the names in a token exchange (RFC 8693), for gateway and clients."""

from typing import Annotated, Optional

from pydantic import Field, StringConstraints

from fallow.offers import CentreName, Message, UtcMoment

TOKEN_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, not a secret
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
JWT_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105

SCOPE_USER = "condor:/READ condor:/WRITE"
"""What a user's HTCondor token may do at most."""
SCOPE_PILOT = "condor:/READ condor:/ADVERTISE_STARTD condor:/ADVERTISE_MASTER"
"""What a pilot's HTCondor token may do at most."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""An image's name: the digest of its bytes."""


class Issuer(Message):
    """An issuer whose tokens the gateway takes, and what `fallow login` needs to use it."""

    issuer: str
    """The `iss` claim, exactly; also where discovery starts."""
    client_id: str = ""
    """The public OAuth client for `fallow login`; empty where people get their tokens another way."""
    audience: str
    """The `aud` that the gateway wants in a token of this issuer."""


class HubPlace(Message):
    """Where one of the two hubs of a federation is."""

    url: str
    """Its gateway."""
    collector: str
    schedd: str
    queue: str
    """Address of the port that the queue's daemons share."""


class Federation(Message):
    """Body of `GET /v1/federation`: all that a client must know beyond the gateway's own URL."""

    name: str
    trust_domain: str
    collector: str
    schedd: str
    queue: str = ""
    """Address of the port that the queue's daemons share; a hub of an older version does not say."""
    s3_endpoint: str
    issuers: list[Issuer]
    centres: list[CentreName]
    hubs: list[HubPlace] = Field(default_factory=list)
    """Both hubs where there are two, in the order of the numbers that their queues give; else none."""


class TokenResponse(Message):
    """Body of `POST /v1/token`, as in RFC 8693 section 2.2."""

    access_token: str = Field(repr=False)
    issued_token_type: str = JWT_TOKEN_TYPE
    token_type: str = "N_A"  # noqa: S105 - RFC 8693: the token is not for an Authorization header
    expires_in: int = Field(ge=0)
    """Seconds from the answer."""
    scope: str


class StorageAccess(Message):
    """Body of `POST /v1/storage`: short-lived S3 access to everything below `prefix` in `bucket`."""

    endpoint: str
    region: str
    bucket: str
    prefix: str
    access_key: str = Field(repr=False)
    secret_key: str = Field(repr=False)
    session_token: str = Field(default="", repr=False)
    expires: UtcMoment


class ImageUrl(Message):
    """Body of `GET /v1/images/{digest}`: a presigned URL to read from, and the image's size."""

    url: str = Field(repr=False)
    bytes: int = Field(ge=0)


class ImageUpload(Message):
    """Body of `PUT /v1/images/{digest}`: a presigned URL to write to."""

    url: str = Field(repr=False)


class Refusal(Message):
    """Body of every refusal, as in RFC 6749 section 5.2."""

    error: str
    error_description: Optional[str] = None
