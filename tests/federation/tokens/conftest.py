"""Keys, tokens and validators for the tests of `fallow.tokens`; every signature is real."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm

from fallow.errors import NotAvailableError
from fallow.tokens import TrustedIssuer, TrustedIssuers, Validator
from fallow.tokens.store import KeyStore, Stored

NOW = 1767225600
ISSUER = "https://vo.example.org"
AUDIENCE = "https://storage.site.org"
GROUP_POLICY = {"/vo": ["read", "stat"], "/vo/prod": ["read", "stat", "create_file", "create_dir"]}

ES256 = ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1)
RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Signer:
    """An issuer's pair of keys: `key1` on P-256 and `key-rsa`."""

    ec_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    rsa_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def jwks(self) -> dict[str, Any]:
        keys = [
            {
                **json.loads(ECAlgorithm.to_jwk(self.ec_key.public_key())),
                "kid": "key1",
                "alg": "ES256",
                "use": "sig",
            },
            {**json.loads(RSAAlgorithm.to_jwk(self.rsa_key.public_key())), "kid": "key-rsa", "use": "sig"},
        ]
        return {"keys": keys}

    def sign(self, alg: str, message: bytes) -> bytes:
        if alg == "none":
            return b""
        if alg == "HS256":
            pem = self.rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            return HMACAlgorithm(HMACAlgorithm.SHA256).sign(message, pem)
        return ES256.sign(message, self.ec_key) if alg == "ES256" else RS256.sign(message, self.rsa_key)

    def token(
        self, claims: dict[str, Any] | str, header: dict[str, Any] | str | None = None, alg: str = "ES256"
    ) -> str:
        if header is None:
            header = {"alg": alg, "typ": "JWT", "kid": "key1" if alg == "ES256" else "key-rsa"}
        parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
        message = ".".join(b64(part.encode()) for part in parts)
        return f"{message}.{b64(self.sign(alg, message.encode()))}"


class CountingFetch:
    """Stands for a network on which nobody answers, and counts who was asked."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def __call__(self, url: str, issuer: TrustedIssuer) -> dict[str, Any]:
        self.urls.append(url)
        raise NotAvailableError(f"{url} is not there.")


@dataclass
class Party:
    """A relying party that has the issuer's keys on disk and no network."""

    signer: Signer
    validator: Validator
    fetch: CountingFetch

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good token, with changes; a change to `...` leaves the claim out."""
        base = {
            "wlcg.ver": "1.0",
            "iss": ISSUER,
            "sub": "e1eb758b",
            "aud": AUDIENCE,
            "iat": NOW - 60,
            "nbf": NOW - 120,
            "exp": NOW + 3540,
            "jti": "40ce5a87",
            "scope": "storage.read:/",
        }
        return {name: value for name, value in {**base, **changes}.items() if value is not ...}

    def token(self, alg: str = "ES256", **changes: Any) -> str:
        return self.signer.token(self.claims(**changes), alg=alg)


def make_party(
    directory: Path, signer: Signer, revoked: Callable[[Any], bool] | None = None, **settings: Any
) -> Party:
    KeyStore(directory).save(ISSUER, Stored(NOW, signer.jwks()))
    issuer = TrustedIssuer(url=ISSUER, **{"prefix": "/vo", "group_policy": GROUP_POLICY, **settings})
    fetch = CountingFetch()
    validator = Validator(TrustedIssuers(issuers=[issuer], cache_dir=directory), revoked=revoked, fetch=fetch)
    return Party(signer, validator, fetch)


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def attacker() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def party(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Party:
    return make_party(tmp_path_factory.mktemp("keys"), signer)


@pytest.fixture
def new_party(signer: Signer, tmp_path: Path) -> Callable[..., Party]:
    def build(**settings: Any) -> Party:
        return make_party(tmp_path, signer, **settings)

    return build
