"""HTCondor IDTOKENs: minted here, byte-compatible with `condor_token_create`.

An IDTOKEN is a JWT signed with HS256 under a key that HKDF derives from a signing key. Why they are minted
in process and not by the program: docs/explanation/decisions/0002-idtoken-minting.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.types import Options

from fallow.tokens import TokenError
from fallow_matcher.htcondor import keys
from fallow_matcher.identities import pilot_identity

USER_RIGHTS = ("READ", "WRITE")
PILOT_RIGHTS = ("READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
DAEMON_RIGHTS = (
    "READ",
    "WRITE",
    "DAEMON",
    "NEGOTIATOR",
    "ADMINISTRATOR",
    "CLIENT",
    "ADVERTISE_SCHEDD",
    "ADVERTISE_MASTER",
)

_CHECKED_HERE: Options = {
    "require": ["exp", "iss", "sub", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_aud": False,
}
"""The clock is an argument, not the machine's."""


@dataclass(frozen=True)
class Minted:
    """A fresh IDTOKEN and what the audit log may say of it."""

    token: str = field(repr=False)
    identity: str
    rights: tuple[str, ...]
    jti: str
    expires: int
    """Unix time, seconds."""
    work_types: tuple[str, ...] = ()
    """The restricted work types that its bearer may submit."""

    @property
    def scope(self) -> str:
        """The rights as an OAuth scope."""
        return scope_of(self.rights, self.work_types)


@dataclass(frozen=True)
class PilotToken:
    """A pilot's IDTOKEN that was checked."""

    identity: str
    centre: str
    jti: str


def scope_of(rights: tuple[str, ...], work_types: tuple[str, ...] = ()) -> str:
    """HTCondor's scope for a list of authorisation levels, and ours for restricted work types, which HTCondor ignores."""
    return " ".join([*(f"condor:/{right}" for right in rights), *map(work_type_scope, work_types)])


def work_type_scope(work_type: str) -> str:
    """The scope of a token whose bearer may submit a restricted work type; the schedd stamps it into each job."""
    return f"fallow:/{work_type}"


class Mint:
    """Signs IDTOKENs of one trust domain; every token has an end and a scope.

    Args:
        trust_domain: HTCondor's trust domain, the `iss` of the tokens.
        folder: The folder with the signing keys.
    """

    def __init__(self, trust_domain: str, folder: Path) -> None:
        self._trust_domain = trust_domain
        self._folder = folder

    def mint(
        self,
        role: str,
        identity: str,
        rights: tuple[str, ...],
        *,
        now: int,
        expires: int,
        work_types: tuple[str, ...] = (),
    ) -> Minted:
        """Mint one token with the role's newest key.

        Args:
            role: The role of the signing key.
            identity: `<name>@<trust domain>`.
            rights: Authorisation levels; at least one, since a token without a scope is unlimited.
            now: Unix time, seconds.
            expires: Unix time at which the token ends, after `now`.
            work_types: The restricted work types that its bearer may submit.

        Raises:
            ValueError: No right, or no time left.
            SettingsError: The key is missing or readable by others.
        """
        if not rights:
            raise ValueError(f"refusing to mint a token without a scope for {identity}")
        if expires <= now:
            raise ValueError(f"refusing to mint a token for {identity} that has ended already")
        key_id = keys.newest(self._folder, role)
        jti = secrets.token_hex(16)
        claims = {
            "exp": expires,
            "iat": now,
            "iss": self._trust_domain,
            "jti": jti,
            "scope": scope_of(rights, work_types),
            "sub": identity,
        }
        secret = _signing_secret(keys.load(self._folder, key_id))
        token = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key_id, "typ": None})
        return Minted(
            token=token, identity=identity, rights=rights, jti=jti, expires=expires, work_types=work_types
        )

    def pilot(self, token: str, centres: Iterable[str], *, now: float) -> PilotToken:
        """Check a pilot's IDTOKEN, as the collector would.

        Args:
            token: The compact token.
            centres: The centres whose keys count.
            now: Unix time, seconds.

        Raises:
            TokenError: It is no token of a pilot of one of `centres` that is good now.
        """
        try:
            key_id = str(jwt.get_unverified_header(token).get("kid"))
            centre = next(
                name for name in centres if key_id in keys.generations(self._folder, keys.pilot_key(name))
            )
            claims = jwt.decode(
                token,
                _signing_secret(keys.load(self._folder, key_id)),
                algorithms=["HS256"],
                issuer=self._trust_domain,
                options={
                    "require": ["exp", "iss", "sub", "jti"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_aud": False,
                },
            )
        except (jwt.PyJWTError, StopIteration, UnicodeError) as error:
            raise TokenError(
                "invalid_token", "The token is not one of a pilot of this federation."
            ) from error
        jti = str(claims["jti"])
        if not isinstance(claims["exp"], int) or claims["exp"] <= now:
            raise TokenError("token_expired", "The token has ended.", iss=self._trust_domain, jti=jti)
        if claims["sub"] != pilot_identity(centre, self._trust_domain):
            raise TokenError("forbidden", "The token names another identity than its key.", jti=jti)
        return PilotToken(identity=claims["sub"], centre=centre, jti=jti)


def is_idtoken(token: str) -> bool:
    """Whether a token says that it is an HTCondor IDTOKEN: WLCG tokens are never signed with HS256."""
    try:
        return jwt.get_unverified_header(token).get("alg") == "HS256"
    except (jwt.PyJWTError, UnicodeError):
        return False


def _signing_secret(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"htcondor", info=b"master jwt").derive(key)
