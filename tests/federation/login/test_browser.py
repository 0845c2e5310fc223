"""A login in a browser: what of an issuer's answer is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from fallow.errors import NotAvailableError, RefusedError
from fallow.login.browser import Attempt, address, redeem
from fallow.login.oidc import Metadata, Provider, Tokens, discover
from fallow.web import Web
from fallow_dev_issuer.grants import Grant, GrantStore

BACK = "https://hub.test/login/callback"
ISSUER = "https://iam.test"


class Said:
    """An issuer that gives one answer."""

    def __init__(self, **claims: Any) -> None:
        self._token = jwt.encode(claims, "k" * 32) if claims else ""

    def redeem_code(self, code: str, verifier: str, redirect_uri: str) -> Tokens:
        return Tokens(access_token="access", token_type="Bearer", id_token=self._token)


def taken(attempt: Attempt, provider: Any, **changes: Any) -> Tokens:
    """What becomes of an answer."""
    usual: dict[str, Any] = {
        "issuer": ISSUER, "client_id": "fallow", "redirect_uri": BACK, "code": "c", "state": attempt.state,
        "said_issuer": ISSUER,
    }  # fmt: skip
    return redeem(provider, attempt, **{**usual, **changes})


def test_the_browser_is_sent_with_a_challenge_and_never_with_the_verifier() -> None:
    attempt = Attempt()
    metadata = Metadata(
        issuer=ISSUER, token_endpoint=f"{ISSUER}/token", authorization_endpoint=f"{ISSUER}/authorize?vo=a"
    )
    url = address(metadata, attempt, client_id="fallow", redirect_uri=BACK, scope="openid", audience="hub")
    query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    assert (query["vo"], query["response_type"], query["code_challenge_method"]) == ("a", "code", "S256")
    assert (query["state"], query["nonce"]) == (attempt.state, attempt.nonce)
    assert attempt.verifier not in url
    assert attempt.verifier not in repr(attempt)


def test_an_issuer_without_such_a_login_is_named() -> None:
    metadata = Metadata(issuer=ISSUER, token_endpoint=f"{ISSUER}/token")
    with pytest.raises(NotAvailableError, match=f"{ISSUER} offers no login in a browser"):
        address(metadata, Attempt(), client_id="fallow", redirect_uri=BACK, scope="openid", audience="hub")


@pytest.mark.parametrize("audience", ["fallow", ["other", "fallow"]])
def test_an_answer_to_this_attempt_is_taken(audience: Any) -> None:
    attempt = Attempt()
    provider = Said(iss=ISSUER, aud=audience, nonce=attempt.nonce)
    assert taken(attempt, provider, said_issuer=None).access_token == "access"
    assert taken(attempt, provider).access_token == "access"


@pytest.mark.parametrize(
    "changes", [{"state": "another"}, {"state": ""}, {"said_issuer": "https://evil.test"}]
)
def test_an_answer_to_another_attempt_or_of_another_issuer_is_refused(changes: dict[str, str]) -> None:
    attempt = Attempt()
    provider = Said(iss=ISSUER, aud="fallow", nonce=attempt.nonce)
    with pytest.raises(RefusedError, match="not to this login"):
        taken(attempt, provider, **changes)


@pytest.mark.parametrize("claims", [{"nonce": "another"}, {"iss": "https://evil.test"}, {"aud": "other"}])
def test_an_id_token_of_another_login_is_refused(claims: dict[str, str]) -> None:
    attempt = Attempt()
    provider = Said(**{"iss": ISSUER, "aud": "fallow", "nonce": attempt.nonce, **claims})
    with pytest.raises(RefusedError, match="not of this login"):
        taken(attempt, provider)


def test_an_answer_without_an_id_token_is_refused() -> None:
    with pytest.raises(NotAvailableError, match="gave no ID token"):
        taken(Attempt(), Said())


def test_a_real_issuer_gives_the_tokens_for_the_verifier_alone(federation: Any) -> None:
    state, attempt = federation.state, Attempt()
    web = Web(Path(state.directory) / "ca.pem")
    provider = Provider(web, discover(web, state.issuer), "fallow")
    grant = Grant("fallow", "alice", ["openid", "compute.read"], ["https://hub.test"], attempt.nonce)

    def code() -> str:
        return GrantStore(state.grants).new_code(
            grant, redirect=BACK, challenge=attempt.challenge, now=federation.clock(), life_s=60
        )

    good = taken(attempt, provider, issuer=state.issuer, said_issuer=state.issuer, code=code())
    assert jwt.decode(good.access_token, options={"verify_signature": False})["aud"] == "https://hub.test"
    thief = Attempt(state=attempt.state, nonce=attempt.nonce)
    with pytest.raises(RefusedError, match="The issuer refused"):
        taken(thief, provider, issuer=state.issuer, said_issuer=state.issuer, code=code())
