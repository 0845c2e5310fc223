"""Private files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fallow.errors import SettingsError
from fallow.files import private_directory, read_private, write_private


def test_what_is_written_is_read_and_only_the_owner_may(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "s")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_private(path) == "s"


def test_a_wide_file_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_private(tmp_path / "none") is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write_private(tmp_path / "real", "s")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(SettingsError, match="Cannot read"):
        read_private(tmp_path / "link")


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SettingsError, match="not a plain file"):
        read_private(tmp_path / "pipe")


def test_a_directory_is_narrowed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert private_directory(tmp_path).stat().st_mode & 0o777 == 0o700
