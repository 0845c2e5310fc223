"""Arbitrary and damaged tokens: always our exception, never a wider acceptance."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fallow.tokens import STATUS, TokenError

NOW = 1767225600
AUDIENCE = "https://storage.site.org"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "wlcg.ver", "scope", "wlcg.groups"]
HEADERS = ["alg", "kid", "typ", "crit", "jku", "x5u", "x5c", "jwk", "b64", "zip", "cty"]


def outcome(party: Any, token: str | bytes) -> str:
    try:
        party.validator.validate(token, AUDIENCE, NOW)
    except TokenError as error:
        return error.code if error.status == STATUS[error.code] else "wrong status"
    return "accept"


@given(st.binary(max_size=200))
@example(b"\xff.\xff.\xff")
@example(b"." * 17000)
def test_arbitrary_bytes_are_refused_with_our_exception(party: Any, token: bytes) -> None:
    assert outcome(party, token) in {"invalid_token", "invalid_request"}


@given(st.text(max_size=200))
def test_arbitrary_text_is_refused_with_our_exception(party: Any, token: str) -> None:
    assert outcome(party, token) == "invalid_token"


@given(st.tuples(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80)))
def test_arbitrary_parts_are_refused_with_our_exception(
    party: Any, parts: tuple[bytes, bytes, bytes]
) -> None:
    import base64

    token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    assert outcome(party, token) == "invalid_token"


@given(st.integers(0, 2000), st.integers(0, 255), st.sampled_from(["ES256", "RS256"]))
def test_a_changed_byte_makes_a_good_token_bad(party: Any, place: int, byte: int, alg: str) -> None:
    token = bytearray(party.token(alg).encode())
    place %= len(token)
    changed = token[place] != byte
    token[place] = byte
    assert (outcome(party, bytes(token)) != "accept") == changed


@given(st.integers(1, 2000), st.sampled_from(["ES256", "RS256"]))
def test_a_shortened_token_is_refused(party: Any, cut: int, alg: str) -> None:
    token = party.token(alg)
    assert outcome(party, token[: max(0, len(token) - cut)]) == "invalid_token"


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(CLAIMS), VALUES, min_size=1, max_size=3))
def test_any_signed_claims_give_a_verdict_or_our_exception(party: Any, changes: dict[str, Any]) -> None:
    outcome(party, party.token(**changes))


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(HEADERS), VALUES, min_size=1, max_size=3))
def test_any_signed_header_gives_a_verdict_or_our_exception(party: Any, changes: dict[str, Any]) -> None:
    header = {"alg": "ES256", "kid": "key1", **changes}
    outcome(party, party.signer.token(party.claims(), header))


@given(VALUES)
def test_any_signed_payload_gives_a_verdict_or_our_exception(party: Any, payload: Any) -> None:
    assert outcome(party, party.signer.token(json.dumps(payload))) in {"invalid_token", "untrusted_issuer"}


def test_fuzzing_asked_nobody_but_the_trusted_issuer(party: Any) -> None:
    assert all(url.startswith("https://vo.example.org/") for url in party.fetch.urls)
