"""Waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable

from fallow.errors import NotAvailableError


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
