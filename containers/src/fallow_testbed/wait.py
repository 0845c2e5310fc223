"""Waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable

from fallow.errors import NotAvailableError
from fallow_testbed.host import Host


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float, pause_s: float = 0.05) -> None:
    """Return as soon as `condition` holds.

    Raises:
        NotAvailableError: It did not hold within `deadline_s`.
    """
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise NotAvailableError(f"{what} was not ready within {deadline_s:.0f} s.", remedy="Look into its log.")
        time.sleep(pause_s)


def wait_for_port(host: Host, address: str, port: int, what: str, deadline_s: float = 60) -> None:
    """Return as soon as something on `address`:`port` takes connections, tried from inside `host`."""
    argv = ["bash", "-c", 'exec 3<>"/dev/tcp/$0/$1"', address, str(port)]
    wait_until(lambda: host.run(argv, check=False).returncode == 0, what, deadline_s)
