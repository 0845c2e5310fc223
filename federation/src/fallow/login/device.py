"""Waiting for a person to approve a device login, at the pace that RFC 8628 section 3.5 sets."""

from __future__ import annotations

import time
from typing import Callable

from fallow.errors import NotAvailableError, RefusedError
from fallow.login.oidc import DeviceAuthorization, OAuthRefusedError, Provider, Tokens

SLOW_DOWN_STEP_S = 5.0
LONGEST_INTERVAL_S = 60.0


def interval_after(error: OAuthRefusedError | NotAvailableError, interval_s: float) -> float | None:
    """Seconds to wait before the next poll after `error`, or None if there is no use in polling on."""
    if isinstance(error, NotAvailableError):
        return min(2 * interval_s, LONGEST_INTERVAL_S) if error.retryable else None
    if error.code == "authorization_pending":
        return interval_s
    return interval_s + SLOW_DOWN_STEP_S if error.code == "slow_down" else None


def wait_for_approval(
    provider: Provider,
    started: DeviceAuthorization,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Tokens:
    """Poll until the user has decided.

    Raises:
        RefusedError: The user refused, or the code expired first.
        NotAvailableError: The issuer answers nonsense.
    """
    deadline = clock() + started.expires_in
    interval_s = max(1.0, float(started.interval))
    while True:
        sleep(interval_s)
        try:
            return provider.redeem_device(started.device_code)
        except (OAuthRefusedError, NotAvailableError) as error:
            following = interval_after(error, interval_s)
            expired = isinstance(error, OAuthRefusedError) and error.code == "expired_token"
            if expired or (following is not None and clock() + following > deadline):
                raise RefusedError(
                    "Nobody approved the login before its code expired.", remedy="Run `fallow login` again."
                ) from error
            if following is None:
                raise
            interval_s = following
