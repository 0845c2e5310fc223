"""The code flow with PKCE, as a client behind a browser meets it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
import requests

from fallow_dev_issuer.grants import challenge_of

BACK = "https://hub.example.org:8443/login/callback"
VERIFIER = "v" * 43


@pytest.fixture(autouse=True)
def registered(people: Any) -> None:
    people.write_text(f'redirects = ["{BACK}"]\n' + people.read_text())


def asked(**changes: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": "fallow",
        "redirect_uri": BACK,
        "scope": "openid compute.read wlcg.groups",
        "audience": "https://hub.example.org",
        "state": "st&te",
        "nonce": "n0nce",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        **changes,
    }


def decide(issuer: Any, decision: str = "approve", **changes: str) -> requests.Response:
    form = asked(**changes) | {"user": "alice", "password": "correct horse", "decision": decision}
    return requests.post(
        f"{issuer.state.base_url}/authorize",
        data=form,
        verify=str(issuer.state.directory / "ca.pem"),
        allow_redirects=False,
        timeout=10,
    )


def led_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith(f"{BACK}?")
    return {name: one for name, (one,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def redeem(issuer: Any, code: str, **changes: str) -> requests.Response:
    fields = {"code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **changes}
    answer: requests.Response = issuer.post("/token", grant_type="authorization_code", **fields)
    return answer


def test_an_approved_login_leads_back_with_a_code_that_is_worth_a_token_once(issuer: Any) -> None:
    back = led_back(decide(issuer))
    assert (back["state"], back["iss"]) == ("st&te", issuer.state.issuer)
    tokens = redeem(issuer, back["code"]).json()
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["aud"]) == ("alice", "https://hub.example.org")
    assert jwt.decode(tokens["id_token"], options={"verify_signature": False})["nonce"] == "n0nce"
    assert redeem(issuer, back["code"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [{"code_verifier": "w" * 43}, {"redirect_uri": "https://elsewhere.example.org"}, {"client_id": "other"}],
)
def test_a_code_is_worth_nothing_without_its_verifier_redirect_and_client(
    issuer: Any, changes: dict[str, str]
) -> None:
    code = led_back(decide(issuer))["code"]
    assert redeem(issuer, code, **changes).json()["error"] == "invalid_grant"
    assert redeem(issuer, code).json()["error"] == "invalid_grant"


def test_a_code_ends_after_a_minute(issuer: Any) -> None:
    code = led_back(decide(issuer))["code"]
    issuer.clock.ahead_s += 61
    assert redeem(issuer, code).json()["error"] == "invalid_grant"


def test_a_refused_login_leads_back_with_the_reason(issuer: Any) -> None:
    assert led_back(decide(issuer, "deny"))["error"] == "access_denied"


def test_a_wrong_password_leads_nowhere(issuer: Any) -> None:
    answer = requests.post(
        f"{issuer.state.base_url}/authorize",
        data=asked() | {"user": "alice", "password": "wrong", "decision": "approve"},
        verify=str(issuer.state.directory / "ca.pem"),
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example.org"}, "invalid_request"),
        ({"client_id": "stranger"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_a_request_that_is_not_in_order_is_never_led_back(
    issuer: Any, changes: dict[str, str], error: str
) -> None:
    answer = decide(issuer, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_the_page_escapes_what_the_client_says(issuer: Any) -> None:
    state = '"><script>'
    query = urlencode(asked(state=state))
    shown = issuer.get(f"/authorize?{query}")
    assert shown.status_code == 200
    assert "<script>" not in shown.text
