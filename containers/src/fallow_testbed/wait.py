"""Waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from fallow.errors import NotAvailableError
from fallow_testbed.host import Host
from fallow_testbed.patience import Patience

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, deadline_s: float, pause_s: float = 0.05) -> T:
    """Return what `condition` gives as soon as that holds (is true, or not empty).

    Raises:
        NotAvailableError: It did not hold within `deadline_s` (of an idle machine, see `Patience`).
    """
    patience = Patience(deadline_s)
    while not (found := condition()):
        if patience.over():
            raise NotAvailableError(
                f"{what} was not ready within {deadline_s:.0f} s.", remedy="Look into its log."
            )
        time.sleep(pause_s)
    return found


def serve(
    host: Host, argv: Sequence[str], *, user: str, port: int, what: str, deadline_s: float = 60
) -> None:
    """Start a server on `host` and return as soon as it takes connections on `port` of the host's own address.

    Raises:
        NotAvailableError: It ended, or was not ready in time; the message holds the last lines that it said.
    """
    log = f"/var/log/fallow/{what}.log"
    server = host.spawn(argv, user=user, log=log)
    connect = ["bash", "-c", 'exec 3<>"/dev/tcp/$0/$1"', host.name, str(port)]
    patience = Patience(deadline_s)
    while host.run(connect, check=False).returncode != 0:
        if server.poll() is not None or patience.over():
            said = (host.files / log.lstrip("/")).read_text(errors="replace").strip().splitlines()[-3:]
            state = "is not ready in time" if server.poll() is None else f"ended with {server.returncode}"
            raise NotAvailableError(f"The {what} on {host.name} {state}: {' / '.join(said)}")
        time.sleep(0.05)
