"""What tells an open page of one's own that something has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from tests.matcher.board.conftest import LogIn, send

from fallow_matcher.board import live, own
from fallow_matcher.board.sessions import COOKIE
from fallow_matcher.database import writing
from fallow_matcher.gateway.access import User
from fallow_matcher.gateway.services import Services
from fallow_matcher.matching import decision


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


async def told(state: list[str | None]) -> list[str]:
    """What a stream says while `state` is what a look gives, one after the other."""
    keeper: Any = SimpleNamespace(closing=False)
    return [each async for each in live.changes(keeper, lambda: state.pop(0))]
