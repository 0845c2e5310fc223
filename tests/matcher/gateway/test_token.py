"""`POST /v1/token`: never wider, never longer than what came in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from tests.matcher.conftest import revoke_on_disk

from fallow_matcher.settings import HubSettings

Exchange = Callable[..., Any]
NORTH = ("/fallow", "/fallow/north")
OTHER = "https://other.example.org"


def claims_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    claims: dict[str, Any] = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    return claims


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_a_user_gets_a_token_that_may_read_and_submit(exchange: Exchange, tokens: Any) -> None:
    answer = exchange(tokens.make("alice", groups=NORTH))
    assert claims_of(answer)["sub"] == "north.alice@fallow.example.org"
    assert answer.json()["scope"] == "condor:/READ condor:/WRITE"
    assert answer.json()["token_type"] == "N_A"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("groups", "scope"),
    [
        ([*NORTH, "/fallow/north/urgent"], "condor:/READ condor:/WRITE fallow:/urgent"),
        ([*NORTH, "/fallow/north/production"], "condor:/READ condor:/WRITE"),
        ([*NORTH, "/urgent", "/north/urgent", "/fallow/north/urgent/x"], "condor:/READ condor:/WRITE"),
    ],
)
def test_a_restricted_work_type_takes_its_own_group_of_the_users_centre(
    exchange: Exchange, tokens: Any, groups: list[str], scope: str
) -> None:
    assert claims_of(exchange(tokens.make("alice", groups=groups)))["scope"] == scope


def test_who_may_only_read_gets_no_work_type(exchange: Exchange, tokens: Any) -> None:
    groups = [*NORTH, "/fallow/north/urgent"]
    assert (
        claims_of(exchange(tokens.make("alice", scope="compute.read", groups=groups)))["scope"]
        == "condor:/READ"
    )


def test_a_launcher_gets_a_token_that_may_only_advertise_its_centre(exchange: Exchange, tokens: Any) -> None:
    claims = claims_of(exchange(tokens.make("launcher-north", scope="compute.read compute.create")))
    assert claims["sub"] == "pilot-north@fallow.example.org"
    assert claims["scope"] == "condor:/READ condor:/ADVERTISE_STARTD condor:/ADVERTISE_MASTER"


def test_each_centres_pilots_and_the_users_have_keys_of_their_own(exchange: Exchange, tokens: Any) -> None:
    answers = [
        exchange(tokens.make(sub, groups=NORTH)) for sub in ("launcher-north", "launcher-south", "alice")
    ]
    kids = [jwt.get_unverified_header(answer.json()["access_token"])["kid"] for answer in answers]
    assert kids == ["pilot-north", "pilot-south", "users"]


def test_the_name_of_a_launcher_at_another_issuer_is_worth_nothing(exchange: Exchange, tokens: Any) -> None:
    claims = claims_of(exchange(tokens.make("launcher-north", iss=OTHER)))
    assert claims["sub"].startswith("south.launcher-north-")


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("compute.read", "condor:/READ"),
        ("compute.create", "condor:/WRITE"),
        ("compute.read compute.create", "condor:/READ condor:/WRITE"),
    ],
)
def test_rights_follow_the_scopes_that_came_in(
    exchange: Exchange, tokens: Any, scope: str, granted: str
) -> None:
    assert claims_of(exchange(tokens.make("alice", scope=scope, groups=NORTH)))["scope"] == granted


@pytest.mark.parametrize("scope", ["", "compute.cancel", "compute.modify", "storage.read:/"])
def test_a_token_without_the_right_scope_is_worth_nothing(
    exchange: Exchange, tokens: Any, scope: str
) -> None:
    answer = exchange(tokens.make("alice", scope=scope, groups=NORTH))
    assert refused(answer) == (403, "insufficient_scope")


def test_asking_for_less_gives_less(exchange: Exchange, tokens: Any) -> None:
    answer = exchange(tokens.make("alice", groups=NORTH), scope="condor:/READ")
    assert claims_of(answer)["scope"] == "condor:/READ"


@pytest.mark.parametrize(
    "scope",
    ["condor:/ADMINISTRATOR", "condor:/DAEMON", "condor:/ADVERTISE_STARTD", "READ", "condor:/read", ""],
)
def test_asking_for_what_one_may_not_have_gives_nothing(exchange: Exchange, tokens: Any, scope: str) -> None:
    answer = exchange(tokens.make("alice", groups=NORTH), scope=scope or " ")
    assert refused(answer) == (403, "insufficient_scope")


def test_a_token_never_outlives_the_one_that_came_in(exchange: Exchange, tokens: Any) -> None:
    before = time.time()
    answer = exchange(tokens.make("alice", groups=NORTH, life_s=90))
    assert claims_of(answer)["exp"] <= before + 91
    assert answer.json()["expires_in"] <= 91


def test_a_token_never_outlives_the_hubs_own_limit(
    exchange: Exchange, tokens: Any, settings: HubSettings
) -> None:
    claims = claims_of(exchange(tokens.make("alice", groups=NORTH, life_s=6 * 3600)))
    assert claims["exp"] - claims["iat"] == settings.lives.user_token_s


def test_a_bad_token_is_refused_with_its_code(exchange: Exchange) -> None:
    answer = exchange("x.y.z")
    assert refused(answer) == (401, "invalid_token")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_user_without_a_centre_is_refused(exchange: Exchange, tokens: Any) -> None:
    assert refused(exchange(tokens.make("eve", groups=("/other",)))) == (403, "forbidden")


def test_a_user_of_a_centre_outside_the_federation_is_refused(exchange: Exchange, tokens: Any) -> None:
    assert refused(exchange(tokens.make("eve", groups=("/fallow/east",)))) == (403, "forbidden")


@pytest.mark.parametrize("sub", ["alice", "launcher-north"])
def test_a_revoked_centre_gets_nothing(
    exchange: Exchange, tokens: Any, configured: HubSettings, sub: str
) -> None:
    token = tokens.make(sub, groups=NORTH)
    assert exchange(token).status_code == 200
    revoke_on_disk(configured, centre="north")
    assert refused(exchange(token)) == (401, "token_revoked")
    revoke_on_disk(configured, centre="north", undo=True)
    assert exchange(token).status_code == 200


def test_a_revoked_token_gets_nothing(exchange: Exchange, tokens: Any, configured: HubSettings) -> None:
    token = tokens.make("alice", groups=NORTH)
    revoke_on_disk(configured, jti=tokens.made[token].jti)
    assert refused(exchange(token)) == (401, "token_revoked")


def test_without_its_list_of_revocations_the_gateway_gives_nothing(
    exchange: Exchange, tokens: Any, configured: HubSettings
) -> None:
    (configured.state_dir / "revoked.config").unlink()
    assert refused(exchange(tokens.make("alice", groups=NORTH))) == (503, "temporarily_unavailable")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("grant_type", "password", "unsupported_grant_type"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", "invalid_request"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", "invalid_request"),
    ],
)
def test_another_kind_of_exchange_is_refused(
    exchange: Exchange, tokens: Any, field: str, value: str, code: str
) -> None:
    assert refused(exchange(tokens.make("alice", groups=NORTH), **{field: value})) == (400, code)


def test_a_missing_field_is_named(client: TestClient) -> None:
    answer = client.post("/v1/token", data={"grant_type": "x", "subject_token_type": "y"})
    assert answer.status_code == 422
    assert "body.subject_token" in answer.json()["error_description"]
