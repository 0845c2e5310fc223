from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallow_pilots.images import lease as module
from fallow_pilots.images.lease import lease, lease_if_free, look

OTHER_HOST = json.dumps(
    {"host": "elsewhere", "boot": "b", "processes": "p", "process": 1, "began": "1", "id": "x"}
)


class Clock:
    """A clock that goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def take(path: Path, clock: Clock, dead_s: float = 20) -> float:
    """Take a lease and let it go; how long that took."""
    began = clock.now
    with lease(path, dead_s=dead_s, clock=clock, sleep=clock.sleep):
        pass
    return clock.now - began


def test_a_free_lease_is_taken_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    assert take(tmp_path / "lease", Clock()) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_lease_of_another_host_is_taken_when_it_shows_no_life(tmp_path: Path) -> None:
    (tmp_path / "lease").write_text(OTHER_HOST)
    waited = take(tmp_path / "lease", Clock())
    assert 20 <= waited < 21
    assert list(tmp_path.iterdir()) == []


def test_a_lease_that_is_touched_is_waited_for(tmp_path: Path) -> None:
    path, clock = tmp_path / "lease", Clock()
    path.write_text(OTHER_HOST)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now < 100:
            os.utime(path, (clock.now, clock.now))
        else:
            path.unlink(missing_ok=True)

    with lease(path, clock=clock, sleep=sleep):
        assert clock.now >= 100


def test_the_lease_of_a_killed_process_of_this_host_is_taken_at_once(tmp_path: Path) -> None:
    program = """if True:
        import sys, time
        from pathlib import Path
        from fallow_pilots.images.lease import lease
        with lease(Path(sys.argv[1])):
            print(flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", program, str(tmp_path / "lease")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert take(tmp_path / "lease", Clock()) == 0


def test_a_lease_that_is_held_is_not_there_for_whoever_would_not_wait(tmp_path: Path) -> None:
    with lease(tmp_path / "lease"), lease_if_free(tmp_path / "lease") as held:
        assert not held


def test_who_was_taken_for_dead_leaves_the_new_holder_its_lease(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    with lease(path):
        path.unlink()
        path.write_text(OTHER_HOST)
    assert path.read_text() == OTHER_HOST


def test_a_new_lease_may_be_aside_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who breaks a dead lease and finds that it has a new one in its hands puts that back."""
    path, aside, make = tmp_path / "lease", tmp_path / "aside", module._make

    def made(path: Path) -> TextIO | None:
        stream = make(path)
        path.rename(aside)
        return stream

    monkeypatch.setattr(module, "_make", made)
    with lease(path):
        aside.rename(path)
    assert look(path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}', "\x00" * 20])
def test_nonsense_in_a_lease_is_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lease").write_text(text)
    assert take(tmp_path / "lease", Clock()) >= 20


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 6), st.booleans())
def test_of_many_who_want_a_lease_one_has_it_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, count: int, left_by_the_dead: bool
) -> None:
    path = tmp_path_factory.mktemp("lease") / "lease"
    if left_by_the_dead:
        path.write_text(OTHER_HOST)
    inside: list[int] = []
    most: list[int] = []
    gate, never = threading.Barrier(count), threading.Event()

    def pause(_: float) -> None:
        never.wait(0.01)

    def work(number: int) -> None:
        gate.wait(60)
        # Nobody is slow enough here to be taken for dead, but who left the file.
        with lease(path, dead_s=0.5, sleep=pause):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == count
    assert look(path) is None
    if not left_by_the_dead:
        assert max(most) == 1
