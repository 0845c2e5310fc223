"""SIGTERM to Snakemake, whatever it does at that moment.

Snakemake's scheduler handles the signal in the main thread, under a lock that the main thread itself holds while it looks
after jobs that ended. A signal then would have it wait for itself for ever. In a thread of its own the handler waits for
its turn.
"""

from __future__ import annotations

import signal
import threading
from queue import SimpleQueue


def handle_apart() -> None:
    """Have the handler of SIGTERM that is in force called in a thread of its own; does nothing outside the main thread."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        return
    came: SimpleQueue[int] = SimpleQueue()  # the one queue that may be filled in a handler

    def handle() -> None:
        while True:
            handler(came.get(), None)

    threading.Thread(target=handle, name="sigterm", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda number, _: came.put(number))
