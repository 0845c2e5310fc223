"""Signing keys: one active per algorithm, and retired ones, published until their tokens have expired."""

import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fallow_dev_issuer.errors import IssuerError
from fallow_dev_issuer.state import write_private

Algorithm = Literal["ES256", "RS256"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

MAX_LIFE_S = 6 * 3600
"""The longest life of any token, so also how long a retired key is published; the profile's upper bound."""


@dataclass(frozen=True)
class Key:
    """One signing key. `retired` is the unix time from which on it signs nothing more, or None."""

    kid: str
    algorithm: Algorithm
    pem: str = field(repr=False)
    retired: float | None = None

    @classmethod
    def generate(cls, algorithm: Algorithm) -> "Key":
        """Make a new key with a random id."""
        private = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm == "ES256"
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(f"dev-{secrets.token_hex(6)}", algorithm, pem.decode())

    def published_at(self, now: float) -> bool:
        """Whether a token that this key signed can still be valid."""
        return self.retired is None or now < self.retired + MAX_LIFE_S

    def public_jwk(self) -> dict[str, Any]:
        """The public half, as in RFC 7517."""
        private = serialization.load_pem_private_key(self.pem.encode(), password=None)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        elif isinstance(private, rsa.RSAPrivateKey):
            jwk = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        else:
            raise IssuerError(f"The key {self.kid} is of an unknown kind. Run `fallow-dev-issuer rotate`.")
        jwk.pop("key_ops", None)
        return {**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


@dataclass(frozen=True)
class KeyRing:
    """All keys, oldest first; exactly one per algorithm is not retired."""

    keys: tuple[Key, ...]

    @classmethod
    def load(cls, path: Path) -> "KeyRing":
        """Read the ring.

        Raises:
            IssuerError: The file is missing or damaged.
        """
        try:
            return cls(tuple(Key(**entry) for entry in json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError) as error:
            raise IssuerError(f"Cannot read the keys in {path}. Run `fallow-dev-issuer init`.") from error

    def save(self, path: Path) -> None:
        """Write the ring, readable by its owner only."""
        write_private(path, json.dumps([asdict(key) for key in self.keys]).encode())

    def active(self, algorithm: Algorithm) -> Key:
        """The key that signs now."""
        for key in reversed(self.keys):
            if key.algorithm == algorithm and key.retired is None:
                return key
        raise IssuerError(f"There is no active {algorithm} key. Run `fallow-dev-issuer rotate`.")

    def rotated(self, now: float, algorithms: tuple[Algorithm, ...] = ALGORITHMS) -> "KeyRing":
        """A ring with a new active key per algorithm; keys whose tokens have all expired are gone."""
        kept = tuple(
            replace(key, retired=now) if key.algorithm in algorithms and key.retired is None else key
            for key in self.keys
            if key.published_at(now)
        )
        return KeyRing(kept + tuple(Key.generate(algorithm) for algorithm in algorithms))

    def jwks(self, now: float) -> dict[str, Any]:
        """The JWKS document: every key that may have signed a valid token."""
        return {"keys": [key.public_jwk() for key in self.keys if key.published_at(now)]}

    def sign(self, claims: dict[str, Any], *, algorithm: Algorithm = "ES256", typ: str = "at+jwt") -> str:
        """Sign `claims` as they are with the active key of `algorithm`."""
        key = self.active(algorithm)
        return jwt.encode(claims, key.pem, algorithm=algorithm, headers={"kid": key.kid, "typ": typ})
