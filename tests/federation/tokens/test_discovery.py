"""The WLCG order in which a bearer token is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fallow.errors import SettingsError
from fallow.tokens.discovery import discover_token

NAME = f"bt_u{os.geteuid()}"


def put(path: Path, content: str = "from-file", mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A token in each of the three files, each with its place as content."""
    return {place: put(tmp_path / place / NAME, place) for place in ("named", "runtime", "shared")}


def look(places: dict[str, Path], *wanted: str, bearer: str | None = None) -> str | None:
    environ = {"BEARER_TOKEN": bearer} if bearer is not None else {}
    if "named" in wanted:
        environ["BEARER_TOKEN_FILE"] = str(places["named"])
    if "runtime" in wanted:
        environ["XDG_RUNTIME_DIR"] = str(places["runtime"].parent)
    found = discover_token(environ, shared=places["shared"].parent)
    return found.token if found else None


def test_the_variable_comes_first(places: dict[str, Path]) -> None:
    assert look(places, "named", "runtime", bearer="direct") == "direct"


def test_the_named_file_comes_second(places: dict[str, Path]) -> None:
    assert look(places, "named", "runtime") == "named"


def test_the_runtime_directory_comes_third(places: dict[str, Path]) -> None:
    assert look(places, "runtime") == "runtime"


def test_the_shared_directory_comes_last(places: dict[str, Path]) -> None:
    assert look(places) == "shared"


def test_nothing_anywhere_is_no_error(tmp_path: Path) -> None:
    assert discover_token({}, shared=tmp_path) is None


def test_space_around_a_token_is_stripped(places: dict[str, Path]) -> None:
    assert look(places, bearer=" \f\n\r\t\vabc.def \v\n") == "abc.def"


def test_an_empty_place_is_passed_over(places: dict[str, Path]) -> None:
    put(places["named"], "\n")
    assert look(places, "named", "runtime", bearer=" ") == "runtime"


def test_what_is_no_token_stops_the_search(places: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="BEARER_TOKEN does not hold a bearer token"):
        look(places, "named", bearer="two words")


def test_a_token_that_is_too_long_stops_the_search(places: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="does not hold a bearer token"):
        look(places, bearer="x" * (16 * 1024 + 1))


def test_a_named_file_that_is_missing_is_an_error(places: dict[str, Path]) -> None:
    places["named"].unlink()
    with pytest.raises(SettingsError, match="which does not exist"):
        look(places, "named")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(places: dict[str, Path], mode: int) -> None:
    places["shared"].chmod(mode)
    with pytest.raises(SettingsError, match="others may have read"):
        look(places)


def test_a_link_in_the_shared_directory_is_not_followed(places: dict[str, Path]) -> None:
    places["shared"].unlink()
    places["shared"].symlink_to(places["named"])
    with pytest.raises(SettingsError, match="Cannot read"):
        look(places)


def test_a_strangers_file_in_the_shared_directory_is_passed_over(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    places["shared"].rename(places["shared"].with_name(f"bt_u{stranger}"))
    assert look(places) is None
    assert "belongs to another user" in caplog.text


def test_a_named_pipe_does_not_hang_the_search(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME, 0o600)
    with pytest.raises(SettingsError, match="not a plain file"):
        discover_token({}, shared=tmp_path)


def test_a_found_token_says_where_it_was(places: dict[str, Path]) -> None:
    found = discover_token({}, shared=places["shared"].parent)
    assert found is not None
    assert (found.file, found.source) == (places["shared"], str(places["shared"]))


def test_a_found_token_is_not_in_its_repr(places: dict[str, Path]) -> None:
    found = discover_token({"BEARER_TOKEN": "very-secret"}, shared=places["shared"].parent)
    assert found is not None
    assert "very-secret" not in repr(found)
