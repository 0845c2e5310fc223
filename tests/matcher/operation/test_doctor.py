"""What the doctor of one of two hubs says of the other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fallow_matcher.gateway.webidentity import WebIdentity
from fallow_matcher.htcondor import configure, keys
from fallow_matcher.operation import doctor, look
from fallow_matcher.operation.checks import State
from fallow_matcher.settings import HubSettings, PairSettings


@pytest.fixture
def here(
    configured: HubSettings, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HubSettings:
    """The first of two hubs; the second, whose gateway answers, has joined it."""
    WebIdentity(configured).ensure()
    shutil.copytree(configured.state_dir, tmp_path / "first")

    def served(settings: HubSettings, path: str, host: str | None = None) -> tuple[int, bytes]:
        answer = client.get(path)
        return answer.status_code, answer.content

    monkeypatch.setattr(look, "served", served)
    pair = PairSettings(first=configured.host, second="hub2.example.org")
    return configured.model_copy(update={"pair": pair, "state_dir": tmp_path / "first"})


def said_of_the_other(here: HubSettings) -> tuple[State, str]:
    """What the doctor finds."""
    [found] = doctor._other_hub(here)
    return found.state, found.words


def test_a_hub_that_has_joined_is_well(here: HubSettings) -> None:
    assert said_of_the_other(here) == (
        State.OK,
        "hub2.example.org answers, and has keys of the same ids as this hub.",
    )


def test_a_key_that_was_rotated_or_retired_without_a_join_is_named(here: HubSettings) -> None:
    words = "hub2.example.org answers, but has other keys than this hub: "
    configure.rotate_key(here, keys.USER_KEY)
    assert said_of_the_other(here) == (State.WRONG, f"{words}users.2.")
    keys.retire(here, keys.USER_KEY)
    assert said_of_the_other(here) == (State.WRONG, f"{words}users, users.2.")


def test_another_key_for_the_store_is_named(here: HubSettings) -> None:
    (here.state_dir / "gateway" / "web-identity.pem").unlink()
    state, words = said_of_the_other(here)
    assert (state, words.rpartition(": ")[2]) == (State.WRONG, "web-identity.")


def test_a_hub_that_does_not_know_the_question_is_told(
    here: HubSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "served", lambda *_: (404, b'{"error": "not_found"}'))
    state, words = said_of_the_other(here)
    assert (state, "does not answer: status 404 to /v1/keys." in words) == (State.WRONG, True)
