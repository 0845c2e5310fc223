"""Logins and sessions: how they begin and end, what their cookies open, and what is kept of them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select, text, update
from tests.matcher.board.conftest import ATTACK, LogIn, send
from tests.matcher.conftest import GATEWAY, bearer

from fallow.errors import RefusedError
from fallow_matcher.board import sessions
from fallow_matcher.board.sessions import COOKIE, SESSION
from fallow_matcher.database import reading, writing
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build


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
