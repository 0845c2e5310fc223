"""Claims, header and form of a token: what is refused, with which code."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fallow.errors import SettingsError
from fallow.tokens import TokenError
from fallow.tokens.keys import parse_jwks

NOW = 1767225600
AUDIENCE = "https://storage.site.org"


def refusal(party: Any, token: str | bytes, now: float = NOW, audience: Any = AUDIENCE) -> str:
    """The code with which a token is refused; `accept` where it is not."""
    try:
        party.validator.validate(token, audience, now)
    except TokenError as error:
        return error.code
    return "accept"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": "a" * 255}, "accept"),
        ({"sub": ""}, "invalid_token"),
        ({"sub": 7}, "invalid_token"),
        ({"sub": "two\nlines"}, "invalid_token"),
        ({"jti": ""}, "invalid_token"),
        ({"jti": "a\x1b[31m"}, "invalid_token"),
        ({"iat": ...}, "invalid_token"),
        ({"iat": True}, "invalid_token"),
        ({"iat": NOW + 60, "nbf": NOW + 60}, "accept"),
        ({"iat": NOW + 61}, "token_not_yet_valid"),
        ({"nbf": NOW + 61}, "token_not_yet_valid"),
        ({"nbf": ...}, "accept"),
        ({"nbf": None}, "invalid_token"),
        ({"nbf": "0"}, "invalid_token"),
        ({"exp": ...}, "invalid_token"),
        ({"exp": None}, "invalid_token"),
        ({"exp": NOW}, "token_expired"),
        ({"exp": NOW + 0.5}, "accept"),
        ({"exp": NOW - 60 + 6 * 3600 + 1}, "lifetime_too_long"),
        ({"exp": 253402300799}, "lifetime_too_long"),
        ({"exp": 10**400}, "invalid_token"),
        ({"exp": float("inf")}, "invalid_token"),
        ({"exp": float("nan")}, "invalid_token"),
        ({"wlcg.ver": ...}, "unsupported_version"),
        ({"wlcg.ver": 1.0}, "unsupported_version"),
        ({"wlcg.ver": "2.0"}, "unsupported_version"),
        ({"wlcg.ver": "1.3"}, "accept"),
        ({"wlcg.ver": "1.\u0663"}, "unsupported_version"),
        ({"wlcg.ver": "11.0"}, "unsupported_version"),
        ({"aud": []}, "invalid_audience"),
        ({"aud": None}, "invalid_audience"),
        ({"aud": {}}, "invalid_audience"),
        ({"aud": ["https://other.org", AUDIENCE]}, "accept"),
        ({"aud": ["https://wlcg.cern.ch/jwt/v1/any"]}, "accept"),
        ({"aud": AUDIENCE + "/"}, "invalid_audience"),
        ({"iss": "HTTPS://vo.example.org"}, "untrusted_issuer"),
        ({"iss": None}, "untrusted_issuer"),
        ({"iss": {}}, "untrusted_issuer"),
        ({"scope": None}, "invalid_token"),
        ({"scope": ""}, "accept"),
        ({"scope": "storage.read:"}, "invalid_token"),
        ({"scope": "storage.list"}, "invalid_token"),
        ({"scope": "storage"}, "accept"),
        ({"scope": "storage.read:/a%zz"}, "invalid_token"),
        ({"scope": "storage.read:/a%5c..%5cb"}, "invalid_token"),
        ({"scope": "storage.read:/%252e%252e/a"}, "invalid_token"),
        ({"scope": "storage.read:/%ff"}, "invalid_token"),
        ({"scope": "storage.read:/\ud800"}, "invalid_token"),
        ({"wlcg.groups": None}, "invalid_token"),
        ({"wlcg.groups": ["/vo", 7]}, "invalid_token"),
        ({"wlcg.groups": ["vo"]}, "invalid_token"),
        ({"wlcg.groups": ["/vo/"]}, "invalid_token"),
        ({"wlcg.groups": ["/vo/../prod"]}, "invalid_token"),
        ({"wlcg.groups": []}, "accept"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:60],
)
def test_a_claim_gets_its_code(party: Any, changes: dict[str, Any], code: str) -> None:
    assert refusal(party, party.token(**changes)) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kid": ...}, "unknown_key"),
        ({"kid": ""}, "unknown_key"),
        ({"kid": 7}, "unknown_key"),
        ({"kid": "../../etc/passwd"}, "unknown_key"),
        ({"typ": ...}, "accept"),
        ({"typ": "at+jwt"}, "accept"),
        ({"typ": "application/at+JWT"}, "accept"),
        ({"typ": "dpop+jwt"}, "invalid_token"),
        ({"typ": None}, "invalid_token"),
        ({"alg": ...}, "invalid_token"),
        ({"alg": ["ES256"]}, "invalid_token"),
        ({"alg": "es256"}, "invalid_token"),
        ({"alg": "ES384"}, "invalid_token"),
        ({"alg": "PS256"}, "invalid_token"),
        ({"crit": []}, "invalid_token"),
        ({"crit": ["exp"]}, "invalid_token"),
        ({"b64": False}, "invalid_token"),
        ({"jku": "https://evil.example/jwks"}, "accept"),
        ({"jwk": {"kty": "oct", "k": "AAAA"}}, "accept"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:60],
)
def test_a_header_gets_its_code(party: Any, changes: dict[str, Any], code: str) -> None:
    header = {"alg": "ES256", "typ": "JWT", "kid": "key1", **changes}
    header = {name: value for name, value in header.items() if value is not ...}
    assert refusal(party, party.signer.token(party.claims(), header)) == code


def test_the_key_in_the_header_is_never_the_key_that_verifies(party: Any, attacker: Any) -> None:
    header = {"alg": "ES256", "kid": "key1", "jwk": attacker.jwks()["keys"][0]}
    assert refusal(party, attacker.token(party.claims(), header)) == "invalid_token"


@pytest.mark.parametrize(
    "form",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        '{"payload":"","signatures":[]}',
        "\ud800.\ud800.\ud800",
        "eyJhbGciOiJFUzI1NiJ9..c2ln",
    ],
)
def test_another_form_than_the_compact_one_is_refused(party: Any, form: str) -> None:
    assert refusal(party, form) == "invalid_token"


@pytest.mark.parametrize("around", ["{} ", " {}", "{}\n", "{}=", "Bearer {}"])
def test_nothing_may_be_around_a_token(party: Any, around: str) -> None:
    assert refusal(party, around.format(party.token())) == "invalid_token"


def test_a_token_may_come_as_bytes(party: Any) -> None:
    assert refusal(party, party.token().encode()) == "accept"


def test_a_token_of_exactly_the_largest_size_is_read(party: Any) -> None:
    token = party.token(padding="x" * 9000)
    assert refusal(party, token + "A" * (16 * 1024 - len(token))) == "invalid_token"
    assert refusal(party, token + "A" * (16 * 1024 - len(token) + 1)) == "invalid_request"


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
def test_a_signature_has_one_spelling_only(party: Any, alg: str) -> None:
    token = party.token(alg)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + letters[letters.index(token[-1]) + 1]
    signatures = [base64.urlsafe_b64decode(each.rpartition(".")[2] + "==") for each in (token, twin)]
    assert signatures[0] == signatures[1]
    assert (refusal(party, token), refusal(party, twin)) == ("accept", "invalid_token")


@pytest.mark.parametrize(
    "payload",
    ["[]", "null", '"text"', "", "{", "[" * 5000, '{"a":' * 2000, "\ufeff{}", '{"exp":1e999}', "{'a':1}"],
    ids=range(10),
)
def test_a_payload_that_is_no_json_object_is_refused(party: Any, payload: str) -> None:
    assert refusal(party, party.signer.token(payload)) in {"invalid_token", "untrusted_issuer"}


def test_a_duplicate_member_is_refused_at_any_depth(party: Any) -> None:
    payload = json.dumps(party.claims())[:-1] + ', "extra": {"a": 1, "a": 2}}'
    assert refusal(party, party.signer.token(payload)) == "invalid_token"


def test_a_duplicate_header_member_is_refused(party: Any) -> None:
    header = '{"alg":"none","alg":"ES256","kid":"key1"}'
    assert refusal(party, party.signer.token(party.claims(), header)) == "invalid_token"


def test_a_known_token_is_still_checked_for_time_and_audience(party: Any) -> None:
    token = party.token(jti="known")
    assert refusal(party, token) == "accept"
    assert refusal(party, token, now=NOW + 3540) == "token_expired"
    assert refusal(party, token, audience="https://elsewhere.org") == "invalid_audience"


def test_a_revoked_token_is_refused_and_named(new_party: Callable[..., Any]) -> None:
    party = new_party(revoked=lambda claims: claims.jti == "gone")
    with pytest.raises(TokenError, match="was revoked") as caught:
        party.validator.validate(party.token(jti="gone"), AUDIENCE, NOW)
    assert (caught.value.code, caught.value.status) == ("token_revoked", 401)
    assert (caught.value.iss, caught.value.jti) == ("https://vo.example.org", "gone")
    assert refusal(party, party.token(jti="here")) == "accept"


@pytest.mark.parametrize("audience", ["", [], ["https://a.org", ""]])
def test_a_service_without_a_name_is_refused(party: Any, audience: Any) -> None:
    with pytest.raises(SettingsError, match="no audience name"):
        party.validator.validate(party.token(), audience, NOW)


def test_a_refusal_never_shows_the_token(party: Any, attacker: Any) -> None:
    token = attacker.token(party.claims())
    with pytest.raises(TokenError) as caught:
        party.validator.validate(token, AUDIENCE, NOW)
    assert not any(part in str(caught.value) + repr(caught.value) for part in token.split("."))


def test_only_keys_that_can_verify_our_algorithms_are_taken(signer: Any) -> None:
    good_ec, good_rsa = signer.jwks()["keys"]
    p384 = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
    short = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    private = json.loads(ECAlgorithm.to_jwk(signer.ec_key))
    others = [
        {**p384, "kid": "p384"},
        {**short, "kid": "short"},
        {**private, "kid": "private"},
        {**good_ec, "kid": "for-encryption", "use": "enc"},
        {**good_ec, "kid": "for-signing", "key_ops": ["sign"]},
        {**good_rsa, "kid": "other-algorithm", "alg": "RS512"},
        {**good_ec, "kid": "off-curve", "x": good_ec["y"]},
        {**good_ec, "kid": "not-text", "x": 7},
        {**good_ec, "kid": 7},
        {"kty": "oct", "k": "AAAA", "kid": "secret"},
        {},
        "text",
        None,
    ]
    assert set(parse_jwks({"keys": [good_ec, good_rsa, *others]})) == {"key1", "key-rsa"}


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": [{}] * 101}])
def test_what_is_no_jwk_set_is_an_error(document: Any) -> None:
    with pytest.raises(ValueError, match="not a JWK set"):
        parse_jwks(document)
