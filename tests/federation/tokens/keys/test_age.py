"""How long keys hold: refreshes, issuers that are away, key ids that nobody knows."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.federation.tokens.conftest import NOW
from tests.federation.tokens.keys.issuer import HOUR, OIDC, Context


def test_keys_are_fetched_again_after_six_hours(world: Context, attacker: Any) -> None:
    assert world.code(world.token()) == "accept"
    world.server.pages["/jwks"] = attacker.jwks()
    just_before, after = NOW + 6 * HOUR - 1, NOW + 6 * HOUR
    assert world.code(world.token(now=just_before), just_before) == "accept"
    assert world.code(world.token(now=after), after) == "invalid_token"
    assert world.code(world.token(now=after, signer=attacker), after) == "accept"


def test_a_known_token_is_refused_once_its_key_is_withdrawn(world: Context, attacker: Any) -> None:
    token = world.token(now=NOW + 6 * HOUR - 60)
    assert world.code(world.token()) == "accept"
    assert world.code(token, NOW + 6 * HOUR - 1) == "accept"
    world.server.pages["/jwks"] = {"keys": []}
    assert world.code(token, NOW + 6 * HOUR) == "unknown_key"


def test_a_key_that_moves_to_another_address_is_found_at_the_next_refresh(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.pages["/new"] = world.server.pages.pop("/jwks")
    world.server.pages[OIDC]["jwks_uri"] = world.server.root + "/new"
    later = NOW + 7 * HOUR
    assert world.code(world.token(now=later), later) == "accept"
    assert world.server.asked[-1] == "/new"


def test_a_dead_issuer_keeps_working_for_two_days_and_no_longer(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.stop()
    for later, expected in [(7 * HOUR, "accept"), (48 * HOUR - 1, "accept"), (48 * HOUR, "unknown_key?")]:
        assert world.code(world.token(now=NOW + later), NOW + later) == expected


def test_a_dead_issuer_is_asked_at_most_every_five_minutes(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.pages[OIDC] = 503
    before = world.server.asked.count(OIDC)
    for later in range(7 * HOUR, 7 * HOUR + 301, 10):
        assert world.code(world.token(now=NOW + later), NOW + later) == "accept"
    assert world.server.asked.count(OIDC) == before + 2


def test_an_issuer_without_any_known_key_is_asked_every_ten_seconds(world: Context) -> None:
    world.server.pages[OIDC] = 503
    for later in range(21):
        assert world.code(world.token(now=NOW), NOW + later) == "unknown_key?"
    assert world.server.asked.count(OIDC) == 3


def test_an_issuer_that_comes_back_is_heard_again(world: Context) -> None:
    page, world.server.pages["/jwks"] = world.server.pages["/jwks"], 503
    assert world.code(world.token()) == "unknown_key?"
    world.server.pages["/jwks"] = page
    assert world.code(world.token(), NOW + 10) == "accept"


def test_a_new_key_is_taken_at_once(world: Context, attacker: Any) -> None:
    assert world.code(world.token()) == "accept"
    fresh = {**attacker.jwks()["keys"][0], "kid": "key2"}
    world.server.pages["/jwks"] = {"keys": [*world.server.pages["/jwks"]["keys"], fresh]}
    assert world.code(world.token("key2", signer=attacker)) == "accept"
    assert world.code(world.token()) == "accept"


def test_a_thousand_unknown_key_ids_cause_one_fetch(world: Context, attacker: Any) -> None:
    assert world.code(world.token()) == "accept"
    before = len(world.server.asked)
    codes = {world.code(world.token(f"nope-{i}", signer=attacker)) for i in range(1000)}
    assert (codes, world.server.asked[before:]) == ({"unknown_key"}, ["/jwks"])


def test_a_thousand_unknown_key_ids_cause_one_fetch_also_on_an_empty_cache(
    world: Context, attacker: Any
) -> None:
    for i in range(1000):
        world.code(world.token(f"nope-{i}", signer=attacker))
    assert world.server.asked == [OIDC, "/jwks"]


def test_many_threads_cause_one_fetch(world: Context, attacker: Any) -> None:
    tokens = [world.token("key1" if i % 2 else f"nope-{i}") for i in range(64)]
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(world.code, tokens))
    assert codes == ["unknown_key", "accept"] * 32
    assert world.server.asked == [OIDC, "/jwks"]


def test_a_good_token_does_not_wait_for_a_refresh_in_another_thread(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    asked = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        world.server.release.wait()
        handler.send_error(503)

    world.server.pages[OIDC] = hang
    later = NOW + 7 * HOUR
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.code, world.token(now=later), later)
        assert asked.wait(60)
        assert world.code(world.token(now=later), later) == "accept"
        assert not waiting.done()
        world.server.release.set()
        assert waiting.result() == "accept"


def test_a_clock_that_was_set_back_makes_keys_old(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    before = NOW - 24 * HOUR
    assert world.code(world.token(now=before), before) == "accept"
    assert world.server.asked.count("/jwks") == 2
