"""Keys on disk: they outlive a restart, and only what we wrote ourselves is used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.federation.tokens.conftest import NOW
from tests.federation.tokens.keys.issuer import HOUR, Context

from fallow.tokens.store import KeyStore, Stored


def test_a_restart_needs_no_network(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.stop()
    world.restart()
    assert world.code(world.token()) == "accept"


def test_stored_keys_are_private_and_whole(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    path = KeyStore(world.directory).path(world.issuer.url)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert world.directory.stat().st_mode & 0o7777 == 0o700
    assert [each.name for each in world.directory.iterdir()] == [path.name]


def test_stored_keys_that_are_two_days_old_are_not_used(world: Context) -> None:
    store = KeyStore(world.directory)
    store.save(world.issuer.url, Stored(NOW - 48 * HOUR, world.signer.jwks()))
    world.server.stop()
    assert world.code(world.token()) == "unknown_key?"


def test_stored_keys_from_the_future_are_not_used(world: Context) -> None:
    store = KeyStore(world.directory)
    store.save(world.issuer.url, Stored(NOW + HOUR, world.signer.jwks()))
    world.server.stop()
    assert world.code(world.token()) == "unknown_key?"


def test_keys_that_another_user_could_have_written_are_not_used(
    world: Context, attacker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyStore(world.directory)
    store.save(world.issuer.url, Stored(NOW, attacker.jwks()))
    store.path(world.issuer.url).chmod(0o666)
    assert world.code(world.token(signer=attacker)) == "invalid_token"
    assert "are not used" in caplog.text


def test_stored_keys_behind_a_link_are_not_used(world: Context, attacker: Any, tmp_path: Path) -> None:
    elsewhere = KeyStore(tmp_path / "elsewhere")
    elsewhere.save(world.issuer.url, Stored(NOW, attacker.jwks()))
    world.directory.mkdir()
    KeyStore(world.directory).path(world.issuer.url).symlink_to(elsewhere.path(world.issuer.url))
    assert world.code(world.token(signer=attacker)) == "invalid_token"


def test_stored_keys_of_another_issuer_are_not_used(world: Context, attacker: Any) -> None:
    store = KeyStore(world.directory)
    store.save("https://evil.example", Stored(NOW, attacker.jwks()))
    os.replace(store.path("https://evil.example"), store.path(world.issuer.url))  # noqa: PTH105
    assert world.code(world.token(signer=attacker)) == "invalid_token"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries({"fetched_at": JSON | st.just(NOW), "jwks": JSON})
    | st.fixed_dictionaries({"keys": JSON}).map(lambda jwks: {"fetched_at": NOW, "jwks": jwks})
)
def test_whatever_is_in_the_file_good_tokens_pass_and_bad_ones_do_not(
    world: Context, attacker: Any, content: Any
) -> None:
    path = KeyStore(world.directory).path(world.issuer.url)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else json.dumps({"issuer": world.issuer.url, **content}).encode()
    )
    path.chmod(0o600)
    world.restart()
    assert world.code(world.token()) == "accept"
    assert world.code(world.token(signer=attacker)) == "invalid_token"


def test_a_directory_that_cannot_be_written_is_a_warning(
    world: Context, caplog: pytest.LogCaptureFixture
) -> None:
    world.directory.write_text("a file where the directory should be")
    assert world.code(world.token()) == "accept"
    assert "are not kept in" in caplog.text
