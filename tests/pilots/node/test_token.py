from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from fallow.files import write_private
from fallow_pilots.node.token import TokenCopy, expiry


def token(until: object, serial: str = "a") -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": until, "jti": serial}).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


@pytest.fixture
def copy(tmp_path: Path) -> TokenCopy:
    (tmp_path / "tokens").mkdir()
    return TokenCopy(tmp_path / "token", tmp_path / "tokens")


def test_a_valid_token_is_taken_over_for_its_owner_only(copy: TokenCopy, tmp_path: Path) -> None:
    write_private(tmp_path / "token", token(2000) + "\n")
    assert copy.refresh(now=1000)
    held = tmp_path / "tokens" / "hub"
    assert held.read_text() == token(2000) + "\n"
    assert held.stat().st_mode & 0o777 == 0o600


def test_a_newer_token_replaces_the_old(copy: TokenCopy, tmp_path: Path) -> None:
    for until in (2000, 3000):
        write_private(tmp_path / "token", token(until))
        copy.refresh(now=1000)
    assert copy.expires == 3000
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == ["hub"]


def test_an_expired_token_is_not_taken(copy: TokenCopy, tmp_path: Path) -> None:
    write_private(tmp_path / "token", token(900))
    assert not copy.refresh(now=1000)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_trouble_with_the_file_leaves_the_last_token(copy: TokenCopy, tmp_path: Path) -> None:
    write_private(tmp_path / "token", token(2000))
    copy.refresh(now=1000)
    (tmp_path / "token").unlink()
    assert copy.refresh(now=1500)
    assert not copy.refresh(now=2000)


def test_a_token_that_others_can_read_is_not_used(copy: TokenCopy, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token(2000))
    (tmp_path / "token").chmod(0o644)
    assert not copy.refresh(now=1000)


@pytest.mark.parametrize("text", ["", "a.b", "a.!!.c", "e30.e30.c2ln", token(None), token("x"), token([1])])
def test_what_is_no_token_never_expires(text: str) -> None:
    assert expiry(text) is None
