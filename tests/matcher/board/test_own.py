"""One's own work behind a login: who sees what, who may do what, and what no other page can make a browser do."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import insert, select, text, update
from tests.matcher.board.conftest import ATTACK, offer
from tests.matcher.campaigns.world import plan
from tests.matcher.conftest import GATEWAY, bearer

from fallow.errors import RefusedError
from fallow.offers import OfferState, Reclaims
from fallow.queue.ids import SECOND_FROM
from fallow.reports import PilotReport
from fallow.rules import Rules
from fallow_matcher.board import account, live, own, sessions
from fallow_matcher.board.access import Acts
from fallow_matcher.board.sessions import COOKIE, SESSION
from fallow_matcher.database import reading, writing
from fallow_matcher.gateway.access import User
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build
from fallow_matcher.ledger import reports
from fallow_matcher.matching import decision
from fallow_matcher.settings import PairSettings

LogIn = Callable[..., str]


@pytest.fixture
def log_in(client: TestClient, services: Services, tokens: Any, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Logs somebody in; the issuer's part is played, all that follows is real. Gives the token that forms need."""

    def enter(sub: str = "alice", centre: str = "north", *groups: str, **claims: Any) -> str:
        token = tokens.make(
            sub,
            groups=("/fallow", f"/fallow/{centre}", *(f"/fallow/{centre}/{name}" for name in groups)),
            **claims,
        )
        monkeypatch.setattr(services.sign_in, "end", lambda *_, **__: token)
        answer = client.get("/login/callback?code=c&state=s", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/me"), answer.text
        found = re.search(r'name="csrf" value="([^"]+)"', client.get("/me").text)
        assert found
        return found[1]

    return enter


@pytest.fixture
def injected(client: TestClient, alice: dict[str, str]) -> None:
    """A campaign of alice at north with two rows and a hostile note."""
    wanted = plan(notes=ATTACK).model_dump(mode="json")
    assert client.post("/v1/campaigns", headers=alice, json=wanted).status_code == 200
    rows = {"stage": "main", "rows": [["r1", ["r1", "1"]], [ATTACK, [ATTACK, "1"]]]}
    assert client.post("/v1/campaigns/mc/rows", headers=alice, json=rows).status_code == 200
    assert client.post("/v1/campaigns/mc/complete", headers=alice).status_code == 200


def send(client: TestClient, path: str, csrf: str, origin: str = GATEWAY, **fields: str) -> Any:
    headers = {"Origin": origin} if origin else {}
    return client.post(path, data={"csrf": csrf, **fields}, headers=headers, follow_redirects=False)


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


def test_a_login_gives_a_new_id_and_ends_the_session_before(client: TestClient, log_in: LogIn) -> None:
    planted = "planted-by-somebody"
    client.cookies.set(COOKIE, planted, domain="hub.example.org", path="/")
    log_in()
    first = client.cookies.get(COOKIE, domain="hub.example.org")
    assert first != planted
    log_in()
    second = client.cookies.get(COOKIE, domain="hub.example.org")
    assert second not in (first, planted)
    for old in (planted, first):
        client.cookies.clear()
        client.cookies.set(COOKIE, str(old), domain="hub.example.org", path="/")
        assert client.get("/me").status_code == 401


def test_no_script_reads_the_cookie_and_no_other_site_sends_it(
    client: TestClient, services: Services, tokens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens.make("alice", groups=("/fallow/north",))
    monkeypatch.setattr(services.sign_in, "end", lambda *_, **__: token)
    answer = client.get("/login/callback?code=c&state=s", follow_redirects=False)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith(f"{COOKIE}=")]
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert token not in answer.text + str(answer.headers)


def test_logging_out_ends_the_session_for_who_has_kept_its_cookie_too(
    client: TestClient, log_in: LogIn
) -> None:
    csrf = log_in()
    kept = client.cookies.get(COOKIE, domain="hub.example.org")
    assert send(client, "/logout", csrf).status_code == 303
    client.cookies.set(COOKIE, str(kept), domain="hub.example.org", path="/")
    assert client.get("/me").status_code == 401


def test_a_session_ends_with_its_token(
    client: TestClient, log_in: LogIn, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in()
    later = time.time() + 3601
    monkeypatch.setattr(services.sessions, "_clock", lambda: later)
    assert client.get("/me").status_code == 401


def test_a_session_outlives_a_restart_of_the_gateway(
    client: TestClient, log_in: LogIn, services: Services, tokens: Any
) -> None:
    log_in()
    kept = str(client.cookies.get(COOKIE, domain="hub.example.org"))
    restarted = build(services.settings, validate=tokens.validate)
    with TestClient(create_app(restarted), base_url=GATEWAY, cookies={COOKIE: kept}) as again:
        assert "north.alice" in again.get("/me").text
        assert len(restarted.sessions) == 1
    restarted.close()


def test_what_the_database_holds_of_a_session_opens_nothing(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    csrf = log_in()
    with reading(services.database) as connection:
        (row,) = connection.execute(select(SESSION)).all()
    cookie = str(client.cookies.get(COOKIE, domain="hub.example.org"))
    for secret in (csrf, cookie, "token."):
        assert secret.encode() not in row.sealed + row.key.encode()
    client.cookies.clear()
    client.cookies.set(COOKIE, row.key, domain="hub.example.org", path="/")
    assert client.get("/me").status_code == 401


def test_a_session_that_was_changed_in_the_database_is_none(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    log_in()
    with writing(services.database) as connection:
        connection.execute(update(SESSION).values(sealed=bytes(100)))
    assert client.get("/me").status_code == 401


def test_sessions_that_have_ended_are_forgotten_and_there_are_never_too_many(
    log_in: LogIn, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    soon = int(time.time()) + 60
    rows = [{"key": f"{number}", "sealed": b"", "expires": soon + number} for number in range(-61, 4)]
    with writing(services.database) as connection:
        connection.execute(insert(SESSION), rows)
    log_in()
    with reading(services.database) as connection:
        keys = connection.execute(select(SESSION.c.key).order_by(SESSION.c.expires)).scalars().all()
    assert keys[:2] == ["2", "3"]
    assert len(keys) == 3


def test_without_the_database_nobody_is_logged_in_and_the_page_stands(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    assert client.get("/").status_code == 200
    log_in()
    with writing(services.database) as connection:
        connection.execute(text("DROP TABLE page_session"))
    assert client.get("/").status_code == 200
    answer = client.get("/me")
    assert answer.status_code == 503
    assert "Who is logged in cannot be told now" in answer.text


def test_a_login_that_the_issuer_does_not_confirm_opens_nothing(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> str:
        raise RefusedError("The answer of the issuer is not to this login.")

    monkeypatch.setattr(services.sign_in, "end", refuses)
    answer = client.get("/login/callback?code=c&state=s", follow_redirects=False)
    assert answer.status_code == 403
    assert COOKIE not in client.cookies


def test_an_answer_to_no_login_of_this_browser_is_refused(client: TestClient) -> None:
    answer = client.get("/login/callback?code=c&state=s")
    assert answer.status_code == 403
    assert "not begun in this browser" in answer.text


def test_what_the_issuer_says_is_shown_as_text(client: TestClient) -> None:
    answer = client.get("/login/callback", params={"error": ATTACK})
    assert answer.status_code == 403
    assert "<script>alert" not in answer.text


def test_a_launcher_cannot_log_in(
    client: TestClient, services: Services, tokens: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tokens.make("launcher-north", scope="compute.read")
    monkeypatch.setattr(services.sign_in, "end", lambda *_, **__: token)
    assert client.get("/login/callback?code=c&state=s").status_code == 403


def test_logins_are_counted(client: TestClient, services: Services) -> None:
    statuses = [
        client.get("/login/callback").status_code
        for _ in range(services.settings.limits.logins_per_minute + 1)
    ]
    assert set(statuses[:-1]) == {403}
    assert statuses[-1] == 429


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


def seen(client: TestClient) -> str:
    """What the operator's page says."""
    return unescape(re.sub(r"<[^>]+>", "", client.get("/me/hub").text))


async def told(state: list[str | None]) -> list[str]:
    """What a stream says while `state` is what a look gives, one after the other."""
    keeper: Any = SimpleNamespace(closing=False)
    return [each async for each in live.changes(keeper, lambda: state.pop(0))]


def test_a_stream_of_ones_own_says_what_changed_and_ends_with_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "OWN_LOOK_S", 0)
    assert "data: " in live.CHANGED
    quiet = ": still here\n\n"
    assert asyncio.run(told(["a", "a", "b", None])) == [live.CHANGED, quiet, live.CHANGED]


def test_ones_own_streams_are_as_few_as_the_others(
    client: TestClient, log_in: LogIn, services: Services
) -> None:
    log_in("north-admin", "north", "admin")
    services.streams._value = 0
    for path in ("/me/live", "/me/jobs/1.0/live", "/me/centre/live"):
        assert client.get(path).status_code == 503


@pytest.fixture
def state(client: TestClient, services: Services) -> Callable[[Callable[[], object]], str | None]:
    """`state(shown)`: what stands for a page in a stream of who is logged in."""

    def now(shown: Callable[[], object]) -> str | None:
        cookie = str(client.cookies.get(COOKIE, domain="hub.example.org"))
        request: Any = SimpleNamespace(cookies={COOKIE: cookie})
        return own._state(services, request, shown)

    return now


def caller_of(services: Services, tokens: Any, sub: str, *groups: str) -> User:
    caller = services.callers.member(tokens.make(sub, groups=groups))
    assert isinstance(caller, User)
    return caller


def test_a_campaign_that_moves_is_another_state(
    client: TestClient, log_in: LogIn, injected: None, services: Services, tokens: Any, state: Any
) -> None:
    csrf = log_in()
    alice = caller_of(services, tokens, "alice", "/fallow/north")
    before = state(lambda: own._work(services, alice))
    assert state(lambda: own._work(services, alice)) == before
    send(client, "/me/campaigns/mc/pause", csrf)
    assert state(lambda: own._work(services, alice)) != before
    send(client, "/logout", csrf)
    assert state(lambda: own._work(services, alice)) is None
    with writing(services.database) as connection:
        connection.execute(text("DROP TABLE page_session"))
    assert state(lambda: own._work(services, alice)) == ""


def test_what_is_asked_of_a_centre_is_another_state_of_its_page(
    client: TestClient, log_in: LogIn, services: Services, tokens: Any, state: Any
) -> None:
    csrf = log_in("north-admin", "north", "admin")
    admin = caller_of(services, tokens, "north-admin", "/fallow/north", "/fallow/north/admin")
    before = state(lambda: own._centre(services, admin))
    assert state(lambda: own._centre(services, admin)) == before
    send(client, "/me/centre/request", csrf, wanted="withdraw")
    assert state(lambda: own._centre(services, admin)) != before


def test_a_matcher_that_decides_is_another_state_of_the_hubs_page(
    log_in: LogIn, services: Services, state: Any
) -> None:
    log_in()
    before = state(lambda: own._parts(services))
    decision.store(services.settings.state_dir, decision.Decision(time.time(), 1, "sha256:0", (), {}))
    assert state(lambda: own._parts(services)) != before


def test_time_that_passes_is_no_other_state_of_the_hubs_page(
    log_in: LogIn, services: Services, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in()
    now = time.time()
    decision.store(services.settings.state_dir, decision.Decision(now, 1, "sha256:0", (), {}))
    before = state(lambda: own._parts(services))
    monkeypatch.setattr(time, "time", lambda: now + 7)
    assert state(lambda: own._parts(services)) == before


def test_every_page_of_ones_own_names_its_stream(client: TestClient, log_in: LogIn, injected: None) -> None:
    log_in("north-admin", "north", "admin")
    for path, stream in (("/me", "/me/live"), ("/me/centre", "/me/centre/live")):
        assert f'data-live="{stream}"' in client.get(path).text


def test_members_see_on_the_page_what_the_rules_do_not_publish(
    client: TestClient, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    monkeypatch.setattr(Rules, "published", lambda _: frozenset())
    assert '<section id="rules"' not in client.get("/").text
    log_in()
    assert '<section id="rules"' in client.get("/").text


def test_an_api_token_is_no_session_and_a_session_is_no_api_token(
    client: TestClient, log_in: LogIn, alice: dict[str, str]
) -> None:
    assert client.get("/me", headers=alice).status_code == 401
    log_in()
    assert client.get("/v1/campaigns").status_code == 401
    assert (
        client.get(
            "/v1/campaigns", headers=bearer(str(client.cookies.get(COOKIE, domain="hub.example.org")))
        ).status_code
        == 401
    )
