"""A signal that comes while Snakemake's main thread holds the lock that its handler takes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_fallow.sigterm import handle_apart


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_handler_waits_for_the_lock_that_the_main_thread_holds() -> None:
    lock, handled = threading.Lock(), threading.Event()

    def gracefully(*_: object) -> None:  # as Snakemake's scheduler does
        with lock:
            handled.set()

    signal.signal(signal.SIGTERM, gracefully)
    handle_apart()
    with lock:
        signal.raise_signal(signal.SIGTERM)
        assert not handled.is_set()
    assert handled.wait(60)
    handled.clear()
    signal.raise_signal(signal.SIGTERM)
    assert handled.wait(60), "the second one as well"


def test_where_the_signal_ends_the_process_it_still_does() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    handle_apart()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_another_thread_than_the_main_one_changes_nothing() -> None:
    def gracefully(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, gracefully)
    thread = threading.Thread(target=handle_apart)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is gracefully
