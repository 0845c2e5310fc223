"""Public keys and signatures. Only this module touches PyJWT; it is imported when a key is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fallow.tokens.compact import Unverified
from fallow.tokens.errors import TokenError

if TYPE_CHECKING:
    from jwt import PyJWK

MAX_KEYS = 100
RSA_BITS = range(2048, 8193)


def parse_jwks(document: Any) -> dict[str, list[PyJWK]]:
    """The keys of a JWK set that can check our signatures, by their `kid`; all others are passed over.

    Raises:
        ValueError: It is not a JWK set.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("not a JWK set")
    keys: dict[str, list[PyJWK]] = {}
    for entry in entries:
        key = _parse_key(entry)
        if key is not None and key.key_id is not None:
            keys.setdefault(key.key_id, []).append(key)
    return keys


def _parse_key(entry: Any) -> PyJWK | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or "d" in entry:
        return None
    expected = {"EC": "ES256", "RSA": "RS256"}.get(str(entry.get("kty")))
    operations = entry.get("key_ops", ["verify"])
    if expected is None or entry.get("alg", expected) != expected or entry.get("use", "sig") != "sig":
        return None
    if expected == "ES256" and entry.get("crv") != "P-256":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = PyJWK(entry, algorithm=expected)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None if expected == "RS256" and key.key.key_size not in RSA_BITS else key


def verify(token: Unverified, keys: Sequence[PyJWK]) -> PyJWK:
    """Check a token's signature and return the key that fits.

    PyJWT's algorithm classes check it, on the parts that `compact.read` made: PyJWT's `decode` would
    take the token apart again, which costs three times what the check itself costs.

    Args:
        token: The token.
        keys: The issuer's keys with the token's `kid`.

    Raises:
        TokenError: `invalid_token`: none of the keys has made this signature with the token's algorithm.
    """
    for key in keys:
        fits = key.algorithm_name == token.alg
        if fits and key.Algorithm.verify(token.signed, key.key, token.signature):
            return key
    raise TokenError("invalid_token", "The token's signature is not by the key that it names.")
