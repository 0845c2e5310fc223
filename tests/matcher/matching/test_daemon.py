"""One matcher acts at a time, and no failure ends it."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

from fallow.errors import NotAvailableError, RefusedError
from fallow_matcher.matching import daemon

FORK = multiprocessing.get_context("fork")


def hold(state_dir: Path, held: object, end: object) -> None:
    with daemon.alone(state_dir, wait=False):
        held.set()  # type: ignore[attr-defined]
        end.wait()  # type: ignore[attr-defined]


def test_a_second_matcher_is_refused_and_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    held, end = FORK.Event(), FORK.Event()
    first = FORK.Process(target=hold, args=(tmp_path, held, end))
    first.start()
    assert held.wait(30)
    with pytest.raises(RefusedError, match="Another matcher acts"), daemon.alone(tmp_path, wait=False):
        pass
    first.kill()

    with daemon.alone(tmp_path, wait=True):
        pass

    first.join()


@pytest.mark.parametrize("error", [NotAvailableError("no queue"), RuntimeError("unforeseen")])
def test_a_cycle_that_fails_is_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    calls = []

    class Failing:
        def cycle(self) -> None:
            calls.append(1)
            if len(calls) == 3:
                stop.set()
            raise error

    daemon.run([Failing()], 0.0, stop)

    assert len(calls) == 3
    assert "no decision" in caplog.text


def test_one_that_fails_does_not_keep_the_next_from_acting() -> None:
    stop = threading.Event()

    class Failing:
        def cycle(self) -> None:
            raise RuntimeError

    class Acting:
        def cycle(self) -> None:
            stop.set()

    daemon.run([Failing(), Acting()], 0.0, stop)

    assert stop.is_set()
