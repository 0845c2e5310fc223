"""The compact form of a signed token, read strictly.

One spelling only, and nothing that two parsers could read differently. Nothing here is verified yet.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from fallow.tokens.errors import TokenError

MAX_BYTES = 16 * 1024
ALGORITHMS = ("ES256", "RS256")

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})


@dataclass(frozen=True)
class Unverified:
    """A token whose form is right; whether its words are true is not known yet."""

    alg: str
    header: dict[str, Any]
    payload: dict[str, Any]
    signed: bytes
    """What the signature is of."""
    signature: bytes


def read(token: str | bytes) -> Unverified:
    """Take a compact token apart.

    Raises:
        TokenError: `invalid_request`: it is larger than 16 KiB; `invalid_token`: its form or header is wrong.
    """
    if len(token) > MAX_BYTES:
        raise TokenError("invalid_request", f"The token is larger than {MAX_BYTES // 1024} KiB.")
    if isinstance(token, (bytes, bytearray)):
        token = bytes(token).decode("latin-1")
    form = _FORM.match(token)
    if form is None:
        raise TokenError("invalid_token", "The token is not a signed token in compact form.")
    header, payload = (
        _object(_decode(part), what) for part, what in ((form[1], "header"), (form[2], "payload"))
    )
    return Unverified(
        alg=_check_header(header),
        header=header,
        payload=payload,
        signed=token[: form.start(3) - 1].encode(),
        signature=_decode(form[3]),
    )


def strict_json(raw: bytes) -> Any:
    """Decode JSON that has no duplicate member and no number beyond JSON.

    Raises:
        ValueError: It is not such JSON.
    """
    try:
        return json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _decode(segment: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError as error:
        raise TokenError("invalid_token", "A part of the token is not base64url.") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment.encode():
        raise TokenError(
            "invalid_token", "A part of the token is not in the one spelling that base64url gives it."
        )
    return raw


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        decoded = strict_json(raw)
    except ValueError as error:
        raise TokenError("invalid_token", f"The token's {what} is not strict JSON.") from error
    if not isinstance(decoded, dict):
        raise TokenError("invalid_token", f"The token's {what} is not a JSON object.")
    return decoded


def _check_header(header: dict[str, Any]) -> str:
    """The algorithm. `jku`, `x5u`, `jwk` and `x5c` are never looked at: keys come from the issuer alone."""
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise TokenError("invalid_token", f"The token is not signed with {' or '.join(ALGORITHMS)}.")
    if "crit" in header or header.get("b64", True) is not True:
        raise TokenError("invalid_token", "The token's header demands an extension that is not supported.")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenError("invalid_token", "The token is of another type than an access token.")
    return alg


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a member appears twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
