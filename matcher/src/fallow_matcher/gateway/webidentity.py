"""The hub as an OpenID Connect issuer for the store alone: who it says a job's owner is, STS believes.

With it jobs need no key of the hub: the store takes a token of minutes (`AssumeRoleWithWebIdentity`).
Source: OpenID Connect Discovery 1.0, section 4; AWS STS reference, AssumeRoleWithWebIdentity.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from fallow.files import private_directory, read_private
from fallow_matcher.settings import HubSettings

AUDIENCE = "fallow-jobs"
"""The client id that the store's provider names."""
JWKS_PATH = "/.well-known/jwks.json"
DISCOVERY_PATH = "/.well-known/openid-configuration"


class WebIdentity:
    """Signs who somebody is, for the store; the second of two hubs does so in the name of the first.

    Args:
        settings: The hub's settings; the key lies in its state directory.
    """

    def __init__(self, settings: HubSettings) -> None:
        self.issuer = f"https://{settings.hosts[0]}:{settings.ports.gateway}"
        self._path = settings.state_dir / "gateway" / "web-identity.pem"
        self._key: rsa.RSAPrivateKey | None = None

    def token(self, user: str, life_s: int) -> str:
        """A token that says that its bearer acts for a user.

        Args:
            user: `<centre>.<name>`.
            life_s: Seconds; a session that it opens is not longer.
        """
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + life_s}
        return jwt.encode(
            {**claims, "jti": secrets.token_hex(8)},
            self._private(),
            algorithm="RS256",
            headers={"kid": self._kid()},
        )

    def jwks(self) -> dict[str, Any]:
        """The public key, as the store fetches it."""
        public = json.loads(RSAAlgorithm.to_jwk(self._private().public_key()))
        return {"keys": [{**public, "kid": self._kid(), "use": "sig", "alg": "RS256"}]}

    def discovery(self) -> dict[str, Any]:
        """What the issuer is; it lets nobody log in."""
        return {
            "issuer": self.issuer,
            "jwks_uri": self.issuer + JWKS_PATH,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def ensure(self) -> None:
        """Make the key if there is none yet."""
        self._private()

    def _kid(self) -> str:
        """The key's name, made from the key: the store looks again for one that it does not know."""
        return hashlib.sha256(
            self._private()
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        ).hexdigest()[:16]

    def _private(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            private_directory(self._path.parent)
            text = read_private(self._path) or _made(self._path)
            key = serialization.load_pem_private_key(text.encode(), password=None)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise TypeError(f"{self._path} holds no RSA key")
            self._key = key
        return self._key


def _made(path: Path) -> str:
    """A key; whichever of the hub's processes is first makes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f".{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read_private(path) or ""
