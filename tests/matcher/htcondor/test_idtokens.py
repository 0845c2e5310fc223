"""IDTOKENs: always limited, always ending, and known again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import jwt
import pytest

from fallow.tokens import TokenError
from fallow_matcher.htcondor import configure, keys
from fallow_matcher.htcondor.idtokens import PILOT_RIGHTS, USER_RIGHTS, Mint, is_idtoken
from fallow_matcher.settings import HubSettings

NOW = 1_800_000_000
CENTRES = ["north", "south"]
PILOT = "pilot-north@fallow.example.org"


@pytest.fixture
def mint(configured: HubSettings) -> Mint:
    return Mint(configured.trust_domain, keys.directory(configured))


def test_a_token_carries_what_htcondor_wants_and_nothing_else(mint: Mint) -> None:
    minted = mint.mint("users", "north.alice@fallow.example.org", USER_RIGHTS, now=NOW, expires=NOW + 60)
    assert jwt.get_unverified_header(minted.token) == {"alg": "HS256", "kid": "users"}
    assert jwt.decode(minted.token, options={"verify_signature": False}) == {
        "sub": "north.alice@fallow.example.org",
        "iss": "fallow.example.org",
        "scope": "condor:/READ condor:/WRITE",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": minted.jti,
    }


def test_the_signature_is_hmac_under_htcondors_key_derivation(configured: HubSettings, mint: Mint) -> None:
    minted = mint.mint("users", "north.alice@fallow.example.org", USER_RIGHTS, now=NOW, expires=NOW + 60)
    secret = keys.load(keys.directory(configured), "users")
    extracted = hmac.digest(b"htcondor", secret, hashlib.sha256)
    derived = hmac.digest(extracted, b"master jwt\x01", hashlib.sha256)
    message, _, signature = minted.token.rpartition(".")
    wanted = base64.urlsafe_b64encode(hmac.digest(derived, message.encode(), hashlib.sha256)).rstrip(b"=")
    assert signature.encode() == wanted


def test_no_token_without_a_scope(mint: Mint) -> None:
    with pytest.raises(ValueError, match="without a scope"):
        mint.mint("users", "north.alice@fallow.example.org", (), now=NOW, expires=NOW + 60)


def test_no_token_that_has_ended(mint: Mint) -> None:
    with pytest.raises(ValueError, match="ended already"):
        mint.mint("users", "north.alice@fallow.example.org", USER_RIGHTS, now=NOW, expires=NOW)


def test_a_token_is_not_shown(mint: Mint) -> None:
    minted = mint.mint("users", "north.alice@fallow.example.org", USER_RIGHTS, now=NOW, expires=NOW + 60)
    assert minted.token not in repr(minted)


def test_a_pilots_token_is_known_again(mint: Mint) -> None:
    minted = mint.mint("pilot-north", PILOT, PILOT_RIGHTS, now=NOW, expires=NOW + 60)
    found = mint.pilot(minted.token, CENTRES, now=NOW + 59)
    assert (found.centre, found.identity, found.jti) == ("north", PILOT, minted.jti)


def test_a_pilots_token_of_an_older_key_is_known_until_the_key_is_retired(
    configured: HubSettings, mint: Mint
) -> None:
    minted = mint.mint("pilot-north", PILOT, PILOT_RIGHTS, now=NOW, expires=NOW + 60)
    configure.rotate_key(configured, "pilot-north")
    assert mint.pilot(minted.token, CENTRES, now=NOW).centre == "north"
    keys.retire(configured, "pilot-north")
    with pytest.raises(TokenError, match="not one of a pilot"):
        mint.pilot(minted.token, CENTRES, now=NOW)


def test_a_pilots_token_ends(mint: Mint) -> None:
    minted = mint.mint("pilot-north", PILOT, PILOT_RIGHTS, now=NOW, expires=NOW + 60)
    with pytest.raises(TokenError) as caught:
        mint.pilot(minted.token, CENTRES, now=NOW + 60)
    assert caught.value.code == "token_expired"


def test_a_users_token_is_no_pilots(mint: Mint) -> None:
    minted = mint.mint("users", "north.alice@fallow.example.org", USER_RIGHTS, now=NOW, expires=NOW + 60)
    with pytest.raises(TokenError, match="not one of a pilot"):
        mint.pilot(minted.token, CENTRES, now=NOW)


def test_one_centres_key_cannot_speak_for_another_centre(mint: Mint) -> None:
    minted = mint.mint("pilot-south", PILOT, PILOT_RIGHTS, now=NOW, expires=NOW + 60)
    with pytest.raises(TokenError) as caught:
        mint.pilot(minted.token, CENTRES, now=NOW)
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "pilot-north/../users", "", "hub", None, 7, ["pilot-north"]]
)
def test_a_key_id_is_never_a_path(mint: Mint, kid: object) -> None:
    parts = [{"alg": "HS256", "kid": kid}, {"sub": PILOT}]
    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )
    with pytest.raises(TokenError, match="not one of a pilot"):
        mint.pilot(f"{token}.AAAA", CENTRES, now=NOW)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "\x00", "." * 100])
def test_anything_else_is_not_an_idtoken(token: str) -> None:
    assert is_idtoken(token) is False
