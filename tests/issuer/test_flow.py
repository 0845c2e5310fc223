"""The issuer over TLS, as an OAuth client meets it."""

from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

HOUR_S = 3600


def error(answer: requests.Response) -> str:
    return str(answer.json()["error"])


def verified(issuer: Any, token: str, audience: str = "https://hub.example.org") -> dict[str, Any]:
    keys = jwt.PyJWKSet.from_dict(issuer.get("/jwks").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    options = {"require": ["exp", "iat", "jti", "sub", "iss", "aud"]}
    return dict(jwt.decode(token, key, ["ES256"], options, audience=audience, issuer=issuer.state.issuer))  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["openid-configuration", "oauth-authorization-server"])
def test_both_kinds_of_metadata_name_the_issuer_and_say_that_it_is_for_development(
    issuer: Any, place: str
) -> None:
    document = issuer.get(f"/.well-known/{place}").json()
    assert document["issuer"] == issuer.state.issuer
    assert document["development_only"] is True
    assert document["service_documentation"].startswith("DEVELOPMENT ONLY")


def test_a_client_that_does_not_know_the_test_authority_refuses_the_issuer(issuer: Any) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{issuer.state.base_url}/jwks", timeout=10)
    assert issuer.get("/jwks").status_code == 200


def test_an_approved_device_flow_gives_a_wlcg_token_for_the_audience_asked(issuer: Any) -> None:
    claims = verified(issuer, issuer.tokens()["access_token"])
    assert claims["wlcg.ver"] == "1.0"
    assert claims["sub"] == "alice"
    assert claims["scope"] == "openid offline_access compute.read wlcg.groups"
    assert claims["wlcg.groups"] == ["/fallow", "/fallow/alder"]
    assert claims["nbf"] == claims["iat"] - 60


def test_the_id_token_is_for_the_client_and_carries_the_name(issuer: Any) -> None:
    claims = verified(issuer, issuer.tokens()["id_token"], audience="fallow")
    assert claims["name"] == "Alice Alder"


def test_a_poll_before_the_decision_is_pending_and_one_too_soon_after_it_is_told_to_slow_down(
    issuer: Any,
) -> None:
    started = issuer.start()
    assert error(issuer.poll(started["device_code"])) == "authorization_pending"
    assert error(issuer.poll(started["device_code"])) == "slow_down"


def test_after_slow_down_the_old_interval_is_too_short(issuer: Any) -> None:
    started = issuer.start()
    issuer.poll(started["device_code"])
    issuer.poll(started["device_code"])
    issuer.clock.ahead_s += 6
    assert error(issuer.poll(started["device_code"])) == "slow_down"
    issuer.clock.ahead_s += 16
    assert error(issuer.poll(started["device_code"])) == "authorization_pending"


def test_a_refused_login_is_denied_to_the_client(issuer: Any) -> None:
    started = issuer.start()
    issuer.decide(started["user_code"], approve=False)
    assert error(issuer.poll(started["device_code"])) == "access_denied"


def test_a_device_code_expires(issuer: Any) -> None:
    started = issuer.start()
    issuer.clock.ahead_s += 601
    assert error(issuer.poll(started["device_code"])) == "expired_token"


def test_an_approved_device_code_works_once(issuer: Any) -> None:
    started = issuer.start()
    issuer.decide(started["user_code"])
    assert issuer.poll(started["device_code"]).status_code == 200
    assert error(issuer.poll(started["device_code"])) == "invalid_grant"


def test_another_client_cannot_redeem_a_device_code(issuer: Any) -> None:
    started = issuer.start()
    issuer.decide(started["user_code"])
    issuer.form = {"client_id": "other"}
    assert error(issuer.poll(started["device_code"])) == "invalid_grant"


def test_a_refresh_gives_a_new_access_token_and_a_new_refresh_token(issuer: Any) -> None:
    first = issuer.tokens()
    second = issuer.refresh(first["refresh_token"]).json()
    assert verified(issuer, second["access_token"])["jti"] != verified(issuer, first["access_token"])["jti"]
    assert second["refresh_token"] != first["refresh_token"]


def test_a_refresh_token_used_twice_ends_its_whole_family(issuer: Any) -> None:
    first = issuer.tokens()
    second = issuer.refresh(first["refresh_token"]).json()
    assert error(issuer.refresh(first["refresh_token"])) == "invalid_grant"
    assert error(issuer.refresh(second["refresh_token"])) == "invalid_grant"


def test_a_refresh_can_narrow_but_not_widen(issuer: Any) -> None:
    first = issuer.tokens("offline_access compute.read")
    narrower = issuer.refresh(first["refresh_token"], scope="offline_access").json()
    assert narrower["scope"] == "offline_access"
    assert error(issuer.refresh(narrower["refresh_token"], scope="compute.create")) == "invalid_scope"


def test_a_revoked_refresh_token_is_useless(issuer: Any) -> None:
    tokens = issuer.tokens()
    assert issuer.post("/revoke", token=tokens["refresh_token"]).status_code == 200
    assert error(issuer.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_revoking_an_unknown_token_succeeds_as_the_rfc_says(issuer: Any) -> None:
    assert issuer.post("/revoke", token="nothing").status_code == 200


def test_without_offline_access_there_is_no_refresh_token(issuer: Any) -> None:
    assert "refresh_token" not in issuer.tokens("compute.read")


def test_scopes_that_the_user_may_not_have_are_left_out(issuer: Any) -> None:
    assert issuer.tokens("compute.read compute.cancel")["scope"] == "compute.read"


def test_a_token_from_before_a_rotation_still_verifies_and_new_ones_have_a_new_key(issuer: Any) -> None:
    from fallow_dev_issuer.keys import KeyRing

    old = issuer.tokens()["access_token"]
    KeyRing.load(issuer.state.keys).rotated(issuer.clock()).save(issuer.state.keys)
    new = issuer.tokens()["access_token"]
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    verified(issuer, old)
    verified(issuer, new)


def test_an_unregistered_client_is_refused(issuer: Any) -> None:
    answer = issuer.post("/device_authorization", client_id="stranger")
    assert (answer.status_code, error(answer)) == (401, "invalid_client")


def test_a_field_given_twice_is_refused(issuer: Any) -> None:
    answer = issuer.raw("POST", "/token", "client_id=fallow&client_id=other")
    assert (answer.status_code, error(answer)) == (400, "invalid_request")


def test_a_body_that_is_no_utf8_is_refused(issuer: Any) -> None:
    answer = issuer.raw("POST", "/token", "client_id=%ff")
    assert (answer.status_code, error(answer)) == (400, "invalid_request")


def test_a_huge_body_is_refused(issuer: Any) -> None:
    answer = issuer.raw("POST", "/token", "client_id=" + "x" * 100_000)
    assert (answer.status_code, error(answer)) == (413, "invalid_request")


def test_other_grants_are_not_offered(issuer: Any) -> None:
    assert error(issuer.post("/token", grant_type="password")) == "unsupported_grant_type"


def test_the_approval_page_approves_with_the_users_password(issuer: Any) -> None:
    started = issuer.start()
    fields = {"user_code": started["user_code"], "user": "alice", "decision": "approve"}
    assert issuer.post("/device", **fields, password="wrong").status_code == 403
    assert issuer.post("/device", **fields, password="correct horse").status_code == 200
    assert issuer.poll(started["device_code"]).status_code == 200


def test_the_approval_page_escapes_what_its_link_says(issuer: Any) -> None:
    assert "<script>" not in issuer.get("/device?user_code=%22%3E%3Cscript%3E").text


def test_codes_and_tokens_are_kept_as_hashes_only(issuer: Any) -> None:
    started = issuer.start()
    tokens = issuer.tokens()
    kept = Path(issuer.state.grants).read_bytes()
    assert started["device_code"].encode() not in kept
    assert tokens["refresh_token"].encode() not in kept
