"""The daemons' own token is renewed at half its life, and a failure ends nothing."""

from __future__ import annotations

import logging

import jwt
import pytest

from fallow_matcher.gateway.renewal import Renewal, is_due
from fallow_matcher.htcondor.configure import DAEMON_TOKEN
from fallow_matcher.settings import HubSettings

NOW = 1_800_000_000


def token(expires: int) -> str:
    return jwt.encode({"exp": expires}, "k" * 32, algorithm="HS256")


@pytest.mark.parametrize(("left_s", "due"), [(1000, False), (500, False), (499, True), (-1, True)])
def test_a_token_is_renewed_when_half_its_life_is_over(left_s: int, due: bool) -> None:
    assert is_due(token(NOW + left_s), NOW, 1000) is due


@pytest.mark.parametrize("text", ["", "nonsense", "e30.e30.AAAA"])
def test_a_token_that_cannot_be_read_is_renewed(text: str) -> None:
    assert is_due(text, NOW, 1000)


def test_a_fresh_token_is_left_alone(configured: HubSettings) -> None:
    path = configured.state_dir / "tokens" / DAEMON_TOKEN
    before = path.read_text()
    Renewal(configured).look()
    assert path.read_text() == before


def test_a_missing_token_is_made(configured: HubSettings) -> None:
    path = configured.state_dir / "tokens" / DAEMON_TOKEN
    path.unlink()
    Renewal(configured).look()
    assert jwt.decode(path.read_text().strip(), options={"verify_signature": False})["sub"] == (
        "condor@fallow.example.org"
    )
    assert path.stat().st_mode & 0o077 == 0


def test_a_failure_is_logged_and_tried_again_later(
    configured: HubSettings, caplog: pytest.LogCaptureFixture
) -> None:
    (configured.state_dir / "tokens" / DAEMON_TOKEN).unlink()
    (configured.state_dir / "keys" / "hub").unlink()
    with caplog.at_level(logging.ERROR):
        Renewal(configured).look()
    assert "cannot be renewed" in caplog.text
