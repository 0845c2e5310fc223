"""Who is logged in at the page: sessions in the gateway's memory, found by a cookie that says nothing by itself."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request, Response

COOKIE = "__Host-fallow"
"""The prefix has browsers take it from this host alone, over TLS and for all paths."""
LIFE_S = 8 * 3600
MOST = 10_000
"""Sessions at once; the oldest gives way."""


@dataclass(frozen=True)
class Session:
    """One login: as long as the token lasts that the issuer gave, and never longer than `LIFE_S`."""

    token: str = field(repr=False)
    name: str
    """`<centre>.<user>`."""
    expires: float
    """Unix time."""
    csrf: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))
    """What a form must bring along, so that no other page can send it."""


class Sessions:
    """The sessions of this process: a restart of the gateway ends them all.

    Args:
        clock: Unix time.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        """How many have not ended."""
        now = self._clock()
        with self._lock:
            return sum(session.expires > now for session in self._sessions.values())

    def find(self, request: Request) -> Session | None:
        """The session of a request; None for an unknown, ended or missing one."""
        key = _key(request)
        with self._lock:
            found = self._sessions.get(key)
            if found is not None and found.expires <= self._clock():
                del self._sessions[key]
                found = None
        return found

    def begin(self, request: Request, answer: Response, token: str, name: str, expires: float) -> Session:
        """A new session under a new id, whatever the browser held before: that one is ended."""
        now = self._clock()
        made = Session(token, name, min(expires, now + LIFE_S))
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions.pop(_key(request), None)
            while len(self._sessions) >= MOST:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[hash_of(secret)] = made
        set_cookie(answer, COOKIE, secret, int(made.expires - now))
        return made

    def end(self, request: Request, answer: Response) -> None:
        """End the session of a request."""
        with self._lock:
            self._sessions.pop(_key(request), None)
        set_cookie(answer, COOKIE, "", 0)


def set_cookie(answer: Response, name: str, value: str, life_s: int) -> None:
    """A cookie that no script reads, and that no other site's form or frame brings along."""
    answer.set_cookie(name, value, max_age=life_s, path="/", secure=True, httponly=True, samesite="lax")


def _key(request: Request) -> str:
    return hash_of(request.cookies.get(COOKIE, ""))


def hash_of(secret: str) -> str:
    """What is kept of a secret that a browser holds."""
    return hashlib.sha256(secret.encode()).hexdigest()
