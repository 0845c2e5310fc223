"""One's own work behind a login: who sees what, who may do what, and what no other page can make a browser do."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.matcher.board.conftest import ATTACK, LogIn, offer, send
from tests.matcher.conftest import GATEWAY, bearer

from fallow.offers import OfferState, Reclaims
from fallow.queue.ids import SECOND_FROM
from fallow.reports import PilotReport
from fallow.rules import Rules
from fallow_matcher.board import account, own
from fallow_matcher.board.access import Acts
from fallow_matcher.gateway.services import Services
from fallow_matcher.ledger import reports
from fallow_matcher.settings import PairSettings


@pytest.mark.parametrize("live", ["", "/live"])
@pytest.mark.parametrize("path", ["/me", "/me/jobs/1.0", "/me/centre", "/me/hub"])
def test_without_a_login_there_is_a_link_to_one_and_nothing_else(
    client: TestClient, path: str, live: str
) -> None:
    answer = client.get(path + live)
    assert answer.status_code == 401
    assert '<a href="/login">' in answer.text


def test_a_login_leads_to_ones_own_campaigns(client: TestClient, log_in: LogIn, injected: None) -> None:
    log_in()
    html = client.get("/me").text
    assert "north.alice" in html
    assert 'href="/me/campaigns/mc"' in html
    assert "The queue does not answer" in html


def test_a_campaign_is_not_there_for_colleagues(client: TestClient, log_in: LogIn, injected: None) -> None:
    csrf = log_in("bert")
    assert client.get("/me/campaigns/mc").status_code == 404
    assert send(client, "/me/campaigns/mc/cancel", csrf).status_code == 404


def test_a_campaign_is_paused_resumed_and_cancelled(
    client: TestClient, log_in: LogIn, injected: None, alice: Any
) -> None:
    csrf = log_in()
    for act, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        answer = send(client, f"/me/campaigns/mc/{act}", csrf)
        assert (answer.status_code, answer.headers["location"]) == (303, "/me/campaigns/mc")
        assert client.get("/v1/campaigns/mc", headers=alice).json()["campaign"]["state"] == state


def test_failed_rows_run_again_those_alike_alone(
    client: TestClient, log_in: LogIn, injected: None, services: Services, alice: Any
) -> None:
    with services.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE campaign_row SET state = 'failed', failure = 'exit', attempt = 1, "
            "signature = 'exit code ' || (3 + (row_id = 'r1'))"
        )
    csrf = log_in()
    html = client.get("/me/campaigns/mc").text
    assert "exit code 3" in html
    assert "exit code 4" in html
    assert (
        send(client, "/me/campaigns/mc/retry", csrf, stage="main", signature="exit code 4").status_code == 303
    )
    rows = client.get("/v1/campaigns/mc/rows", headers=alice).json()["rows"]
    assert [row["state"] for row in rows] == ["waiting", "failed"]


def test_a_job_of_the_other_hubs_queue_leads_to_that_hubs_page(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    pair = PairSettings(first=services.settings.host, second="hub2.example.org")
    object.__setattr__(services.settings, "pair", pair)
    job, csrf = f"{SECOND_FROM + 7}.0", log_in()
    for answer in (
        client.get(f"/me/jobs/{job}"),
        client.get(f"/me/jobs/{job}/live"),
        send(client, f"/me/jobs/{job}/cancel", csrf),
    ):
        assert (answer.status_code, f'href="https://hub2.example.org:8443/me/jobs/{job}"' in answer.text) == (
            404,
            True,
        )
    assert "hub2" not in client.get("/me/jobs/7.0").text


def test_who_may_only_look_cannot_act(client: TestClient, log_in: LogIn, injected: None) -> None:
    csrf = log_in(scope="compute.read")
    assert client.get("/me/campaigns/mc").status_code == 200
    for act in ("pause", "resume", "cancel", "retry"):
        assert send(client, f"/me/campaigns/mc/{act}", csrf).status_code == 403


def test_text_of_jobs_and_campaigns_never_becomes_html(
    client: TestClient, log_in: LogIn, injected: None, services: Services
) -> None:
    with services.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE campaign_row SET state = 'failed', failure = 'exit', signature = ?, reason = ?",
            (ATTACK, ATTACK),
        )
        connection.exec_driver_sql("UPDATE campaign SET reason = ?", (ATTACK,))
    log_in()
    for path in ("/me", "/me/campaigns/mc", f"/me/campaigns/mc?signature={ATTACK}"):
        html = client.get(path).text
        assert "&lt;script&gt;alert(1)" in html
        assert "<script>alert" not in html
        assert "<img" not in html


def test_every_form_is_refused_without_its_token_or_from_another_page(
    client: TestClient, log_in: LogIn, injected: None, alice: Any
) -> None:
    csrf = log_in()
    paths = [
        route.path.replace("{name}", "mc").replace("{job}", "1.0")
        for router in (account.router, own.router)
        for route in router.routes
        if isinstance(route, APIRoute) and route.methods == {"POST"}
    ]
    assert len(paths) == 7
    for path in paths:
        for token, origin in (
            ("", GATEWAY),
            ("x" * 43, GATEWAY),
            (csrf, "https://evil.example.org"),
            (csrf, ""),
        ):
            assert send(client, path, token, origin).status_code == 403
    assert client.get("/v1/campaigns/mc", headers=alice).json()["campaign"]["state"] == "running"
    assert client.get("/me").status_code == 200


def test_every_form_has_the_guard_and_nothing_else_acts() -> None:
    for router in (account.router, own.router):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            guards = [part.call for part in route.dependant.dependencies]
            assert any(isinstance(guard, Acts) for guard in guards) == (route.methods == {"POST"})


def test_an_admin_sees_the_pilots_of_the_own_centre_alone(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    now = datetime.now(UTC)
    for centre in ("north", "south"):
        report = PilotReport(
            pilot=f"{centre}-1",
            centre=centre,
            written=now,
            started=now,
            ended=now,
            code=300,
            reason=f"No work. {ATTACK}",
        )
        reports.keep(services.database, report)
    log_in("north-admin", "north", "admin")
    html = client.get("/me/centre").text
    assert "north-1" in html
    assert "south-1" not in html
    assert "<script>alert" not in html


def test_an_admin_sees_how_soon_capacity_came_back(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    log_in("north-admin", "north", "admin")
    assert "tells of no pilot that was asked to go" in client.get("/me/centre").text
    told = offer("north", "No network.").model_copy(
        update={"reclaims": Reclaims(count=7, mean_s=12.0, longest_s=90.0)}
    )
    services.offers.put(told, datetime.now(UTC))
    html = client.get("/me/centre").text
    assert "Of the 7 pilots that were asked to go" in html
    assert "the last was gone after 1.5 min; it took 12 s on average" in html


def test_an_admin_asks_the_own_centre_which_sees_it_until_it_is_done(
    client: TestClient, log_in: LogIn, services: Services, launcher: dict[str, str], tokens: Any
) -> None:
    services.offers.put(offer("north", "No network."), datetime.now(UTC))
    csrf = log_in("north-admin", "north", "admin")
    assert (
        send(client, "/me/centre/request", csrf, wanted="withdraw", why=f"Maintenance. {ATTACK}").status_code
        == 303
    )
    html = client.get("/me/centre").text
    assert "Nobody at the centre has done it yet." in html
    assert "Maintenance. &lt;script&gt;" in html
    (asked,) = client.get("/v1/requests/north", headers=launcher).json()["requests"]
    assert (asked["wanted"], asked["by"], asked["done"]) == ("withdraw", "north.north-admin", False)
    # The hub itself has changed nothing; that is for the launcher to do.
    assert [each.centre for each in services.offers.standing(datetime.now(UTC))] == ["north"]
    gone = offer("north", "No network.").model_copy(update={"state": OfferState.WITHDRAWN})
    services.offers.put(gone, datetime.now(UTC))
    assert client.get("/v1/requests/north", headers=launcher).json()["requests"][0]["done"] is True


def test_nobody_asks_another_centre_or_sees_what_is_asked_of_it(
    client: TestClient, log_in: LogIn, admin: Any, alice: dict[str, str], launcher: dict[str, str]
) -> None:
    wanted = {"wanted": "withdraw"}
    for headers in (alice, launcher, admin("south")):
        assert client.put("/v1/requests/north", headers=headers, json=wanted).status_code == 403
    for headers in (alice, admin("south")):
        assert client.get("/v1/requests/north", headers=headers).status_code == 403
    assert send(client, "/me/centre/request", log_in(), wanted="withdraw").status_code == 403


def test_users_see_neither_the_centres_nor_the_hubs_page(client: TestClient, log_in: LogIn) -> None:
    log_in()
    for path in ("/me/centre", "/me/hub", "/me/centre/live", "/me/hub/live"):
        assert client.get(path).status_code == 403


@pytest.fixture
def configured_operator(configured: Any) -> None:
    object.__setattr__(configured, "operators", ["north.olga"])


@pytest.mark.usefixtures("configured_operator")
def test_an_operator_sees_which_part_is_not_well(client: TestClient, log_in: LogIn) -> None:
    log_in("olga")
    said = seen(client)
    assert "queue NOT WELL" in said
    assert "database well: sqlite" in said
    assert "matcher NOT WELL: no decision yet" in said
    assert "HTCondor's daemons until 20" in said
    assert "Neither knows of a run." in said


@pytest.mark.usefixtures("configured_operator")
def test_an_operator_sees_which_launchers_token_is_about_to_end(
    client: TestClient, log_in: LogIn, tokens: Any
) -> None:
    log_in("olga")
    assert "north's launcher not seen since" in seen(client)
    for old_s, words in ((0, "UTC\n"), (7 * 86_400, "UTC: due to be renewed\n")):
        token = tokens.make("launcher-north", scope="compute.read")
        tokens.made[token] = replace(tokens.made[token], iat=time.time() - old_s)
        body = offer("north", "No network.").model_dump(mode="json")
        assert client.put("/v1/offers/north", headers=bearer(token), json=body).status_code == 204
        assert re.search(f"north's launcher until [-0-9: ]+ {words}", seen(client))


def test_members_see_on_the_page_what_the_rules_do_not_publish(
    client: TestClient, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    monkeypatch.setattr(Rules, "published", lambda _: frozenset())
    assert '<section id="rules"' not in client.get("/").text
    log_in()
    assert '<section id="rules"' in client.get("/").text


def seen(client: TestClient) -> str:
    """What the operator's page says."""
    return unescape(re.sub(r"<[^>]+>", "", client.get("/me/hub").text))
