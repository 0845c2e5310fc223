"""Who may call what: one test per sentence, and the guard against a route that nobody thought of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from fallow_matcher.gateway.access import Access, Anybody, Member, routes_without_policy
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services
from fallow_matcher.htcondor.idtokens import PILOT_RIGHTS

DIGEST = "sha256:" + "a" * 64
Header = dict[str, str]


def offer(centre: str = "north") -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "centre": centre,
        "shapes": [{"cores": 4, "memory_mb": 8000, "disk_mb": 1000, "count": 3}],
        "starts": now.isoformat(),
        "expires": (now + timedelta(minutes=5)).isoformat(),
    }


def test_every_route_of_the_gateway_has_a_policy(services: Services) -> None:
    app = create_app(services)
    assert routes_without_policy(app) == []
    assert app.routes


def test_the_guard_finds_a_route_without_a_policy() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/guarded", dependencies=[Depends(Access(Anybody()))])(lambda: None)
    app.get("/open")(lambda: None)
    assert routes_without_policy(app) == ["/open"]


def test_the_guard_finds_a_route_with_two_policies() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/two", dependencies=[Depends(Access(Anybody())), Depends(Access(Member()))])(lambda: None)
    assert routes_without_policy(app) == ["/two"]


@pytest.mark.parametrize(
    "path", ["/healthz", "/openapi.json", "/v1/federation", "/v1/keys", "/v1/offers", "/v1/capacity/history"]
)
def test_anybody_may_read_what_is_public(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/storage"),
        ("PUT", "/v1/offers/north"),
        ("GET", "/v1/jobs/1.0/explain"),
        ("POST", "/v1/fit"),
        ("GET", f"/v1/images/{DIGEST}"),
        ("PUT", f"/v1/images/{DIGEST}"),
        ("GET", "/v1/rules"),
        ("GET", "/v1/rules/history"),
        ("POST", "/v1/rules/proposals"),
        ("POST", "/v1/rules/approvals"),
        ("POST", "/v1/rules/simulation"),
    ],
)
@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}]
)
def test_nobody_else_may_without_a_good_token(
    client: TestClient, method: str, path: str, header: Header
) -> None:
    answer = client.request(method, path, headers=header, json=offer())
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_two_bearer_tokens_are_refused(client: TestClient, alice: Header, launcher: Header) -> None:
    both = [("Authorization", header["Authorization"]) for header in (launcher, alice)]
    assert client.put("/v1/offers/north", headers=both, json=offer()).status_code == 401


def test_a_launcher_may_publish_its_own_centres_offer(client: TestClient, launcher: Header) -> None:
    assert client.put("/v1/offers/north", headers=launcher, json=offer()).status_code == 204
    assert [item["centre"] for item in client.get("/v1/offers").json()["offers"]] == ["north"]


def test_a_launcher_may_not_publish_for_another_centre(client: TestClient, launcher: Header) -> None:
    assert client.put("/v1/offers/south", headers=launcher, json=offer("south")).status_code == 403


def test_an_offer_of_another_centre_under_ones_own_path_is_refused(
    client: TestClient, launcher: Header
) -> None:
    answer = client.put("/v1/offers/north", headers=launcher, json=offer("south"))
    assert answer.status_code == 422
    assert "centre" in answer.json()["error_description"]


def test_a_user_may_not_publish_an_offer(client: TestClient, alice: Header) -> None:
    assert client.put("/v1/offers/north", headers=alice, json=offer()).status_code == 403


def test_a_launcher_asks_for_no_fit(client: TestClient, launcher: Header) -> None:
    assert client.post("/v1/fit", headers=launcher, json={"requests": [{}]}).status_code == 403


def test_a_fit_is_asked_for_a_bounded_number_of_requests(client: TestClient, alice: Header) -> None:
    for count in (0, 41):
        answer = client.post("/v1/fit", headers=alice, json={"requests": [{}] * count})
        assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")


def test_a_launcher_has_no_storage(client: TestClient, launcher: Header) -> None:
    assert client.post("/v1/storage", headers=launcher).status_code == 403


def test_a_user_who_may_only_watch_has_no_storage(client: TestClient, tokens: Any) -> None:
    token = tokens.make("alice", scope="compute.read", groups=("/fallow/north",))
    answer = client.post("/v1/storage", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")


def pilot_header(services: Services, role: str, identity: str) -> Header:
    minted = services.mint.mint(role, identity, PILOT_RIGHTS, now=1_700_000_000, expires=4_000_000_000)
    return {"Authorization": f"Bearer {minted.token}"}


def test_a_pilot_may_publish_no_offer_of_its_centre(client: TestClient, services: Services) -> None:
    header = pilot_header(services, "pilot-north", "pilot-north@fallow.example.org")
    assert client.put("/v1/offers/north", headers=header, json=offer()).status_code == 403


def test_a_pilot_may_not_exchange_its_token_for_another(
    client: TestClient, services: Services, exchange: Any
) -> None:
    header = pilot_header(services, "pilot-north", "pilot-north@fallow.example.org")
    assert exchange(header["Authorization"].split()[1]).status_code == 401


def test_a_users_htcondor_token_is_worth_nothing_at_the_gateway(
    client: TestClient, services: Services
) -> None:
    header = pilot_header(services, "users", "north.alice@fallow.example.org")
    assert client.get(f"/v1/images/{DIGEST}", headers=header).status_code == 401
