"""Directories of killed pilots go, those of living ones and of others stay."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from fallow_pilots.node import leftovers
from fallow_pilots.node.layout import Layout, create

FORK = multiprocessing.get_context("fork")

Begins = Callable[[], tuple[Path, Callable[[], None]]]
"""Gives the directory of a pilot that lives, and what kills it."""


def live(scratch: Path, told: Connection) -> None:
    """A pilot, until it is killed."""
    place = create(scratch, "alder-1")
    deep = place.execute / "dir_1" / "closed"
    deep.mkdir(parents=True)
    (place.tokens / "token").write_text("secret")
    deep.chmod(0)
    deep.parent.chmod(0)
    told.send(place.root)
    signal.pause()


@pytest.fixture
def pilot(tmp_path: Path) -> Iterator[Begins]:
    """Starts one."""
    running = []

    def begin() -> tuple[Path, Callable[[], None]]:
        mine, other = FORK.Pipe()
        process = FORK.Process(target=live, args=(tmp_path, other))
        process.start()
        running.append(process)
        assert mine.poll(30)

        def kill() -> None:
            process.kill()
            process.join()

        return mine.recv(), kill

    yield begin
    for process in running:
        process.kill()
        process.join()


def test_the_next_pilot_removes_what_a_killed_one_left(tmp_path: Path, pilot: Begins) -> None:
    left, kill = pilot()
    kill()
    assert left.exists()
    place = create(tmp_path, "alder-2")
    assert list(tmp_path.iterdir()) == [place.root]


def test_a_living_pilots_directory_stays(tmp_path: Path, pilot: Begins) -> None:
    there, kill = pilot()
    create(tmp_path, "alder-2")
    assert (there / "tokens" / "token").exists()
    kill()


def test_that_of_another_node_on_a_shared_file_system_stays(tmp_path: Path, pilot: Begins) -> None:
    left, kill = pilot()
    kill()
    (left / leftovers.MARK).write_text("another-node")
    create(tmp_path, "alder-2")
    assert left.exists()


@pytest.mark.parametrize("name", ["fallow-without-a-mark", "somebody-elses"])
def test_a_directory_that_says_nothing_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    create(tmp_path, "alder-2")
    assert (tmp_path / name).is_dir()


def test_a_link_is_not_followed(tmp_path: Path, pilot: Begins) -> None:
    left, kill = pilot()
    kill()
    elsewhere = tmp_path / "elsewhere"
    left.rename(elsewhere)
    (tmp_path / "fallow-link").symlink_to(elsewhere)
    create(tmp_path, "alder-2")
    assert (elsewhere / "tokens").exists()


def test_a_removal_that_was_broken_off_is_gone_on_with(
    place: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = []

    def broken_off(path: Path) -> None:
        removed.append(path)
        if len(removed) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(leftovers, "remove_tree", broken_off)
    with pytest.raises(KeyboardInterrupt):
        leftovers.remove(place.root)
    assert place.root / leftovers.MARK not in removed
    assert place.root not in removed


def test_what_takes_too_long_is_left_to_the_next(
    tmp_path: Path, pilot: Begins, caplog: pytest.LogCaptureFixture
) -> None:
    left, kill = pilot()
    kill()
    leftovers.clear(tmp_path, within_s=0.001)
    assert "not all removed" in caplog.text
    leftovers.clear(tmp_path)
    assert not left.exists()


def test_where_locks_cannot_be_had_nothing_is_said_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(descriptor: int, operation: int) -> None:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("fcntl.flock", refused)
    first = create(tmp_path, "alder-1")
    create(tmp_path, "alder-2")
    assert first.tokens.is_dir()
    assert not (first.root / leftovers.MARK).exists()
