"""How much one caller may ask: requests per minute by address and by identity, and bytes per request."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fallow_matcher.gateway import errors
from fallow_matcher.settings import LimitSettings


class Limits:
    """Counts requests in this process.

    Args:
        settings: The limits.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._per_address = RateLimitItemPerMinute(settings.per_address_per_minute)
        self._logins = RateLimitItemPerMinute(settings.logins_per_minute)
        self._per_identity = RateLimitItemPerMinute(settings.per_identity_per_minute)

    def count_address(self, address: str) -> None:
        """Count one request from a network address.

        Raises:
            GatewayError: 429, when there were too many.
        """
        self._count(self._per_address, "address", address)

    def count_login(self, address: str) -> None:
        """Count one step of a login from a network address.

        Raises:
            GatewayError: 429, when there were too many.
        """
        self._count(self._logins, "login", address)

    def count_caller(self, issuer: str, subject: str) -> None:
        """Count one request of a token's subject.

        Raises:
            GatewayError: 429, when there were too many.
        """
        self._count(self._per_identity, "identity", issuer, subject)

    def _count(self, limit: RateLimitItemPerMinute, *key: str) -> None:
        if self._limiter.hit(limit, *key):
            return
        wait_s = self._limiter.get_window_stats(limit, *key).reset_time - time.time()
        raise errors.GatewayError(
            429,
            "too_many_requests",
            f"More than {limit.amount} requests a minute.",
            retry_after_s=max(1, math.ceil(wait_s)),
        )


class BodyLimit:
    """ASGI middleware that answers 413 to a body over the limit, announced or not.

    Args:
        app: What comes after.
        body_bytes: The limit.
        larger: Limits of their own for paths that begin so.
    """

    def __init__(self, app: ASGIApp, body_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body (it is small by definition), then pass it on in one piece."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next(
            (bytes_ for start, bytes_ in self._larger.items() if scope["path"].startswith(start)),
            self._body_bytes,
        )
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                refusal = errors.answer(413, "too_large", f"A body is at most {limit} bytes.")
                await refusal(scope, receive, send)
                return
        whole: Message = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            given, whole = whole, {"type": "http.disconnect"}
            return given if given["type"] == "http.request" else await receive()

        await self._app(scope, replay, send)
