"""The real issuer in a thread, over TLS on loopback: what tests of other parts use."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from fallow_dev_issuer.app import Lives, build_app
from fallow_dev_issuer.setup import initialise
from fallow_dev_issuer.state import State


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    people: Path | None = None,
    lives: Lives | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[State]:
    """Serve an issuer on a free port of 127.0.0.1 until the block ends.

    Args:
        directory: Its state directory, made ready first.
        people: The file of people; the example without it.
        lives: How long what it gives out lasts.
        clock: Gives unix seconds.

    Yields:
        Its state: `state.issuer` is the URL, `state.directory / "ca.pem"` the authority to trust.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state = initialise(directory, f"https://127.0.0.1:{listener.getsockname()[1]}", ["127.0.0.1"], people)
        config = uvicorn.Config(
            build_app(state, lives or Lives(), clock),
            ssl_certfile=directory / "tls.pem",
            ssl_keyfile=directory / "tls-key.pem",
            log_config=None,
            access_log=False,
            # A kept connection of an idle client would not take part in closing TLS, and so stay open for ever.
            headers=[("Connection", "close")],
        )
        server = uvicorn.Server(config)
        # The socket listens already, so a client that comes before the server is ready waits in its queue.
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="fallow-dev-issuer")
        thread.start()
        try:
            yield state
        finally:
            server.should_exit = True
            thread.join()
