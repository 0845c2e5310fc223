"""Who is logged in at the page: sessions in the hub's database, found and opened only by what the browser's cookie holds.

The database has a hash of the cookie, and the session sealed with a key that comes from the cookie as well (HKDF, RFC 5869;
AES-GCM, NIST SP 800-38D): whoever reads the database can neither log in with it nor learn a token.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Request, Response
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    LargeBinary,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import NotAvailableError
from fallow_matcher.database import Base, reading, writing

COOKIE = "__Host-fallow"
"""The prefix has browsers take it from this host alone, over TLS and for all paths."""
LIFE_S = 8 * 3600
MOST = 10_000
"""Sessions at once; the one that would end first gives way."""

SESSION = Table(
    "page_session",
    Base.metadata,
    Column("key", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)
"""One login each: the hash of its cookie, the session sealed, and when it ends (unix time)."""

_NONCE = bytes(12)
"""Each key seals one session once, so that no nonce can be used twice."""


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
    """The sessions of the page; they outlive a restart of the gateway.

    Args:
        database: The hub's database.
        clock: Unix time.
    """

    def __init__(self, database: Engine, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def __len__(self) -> int:
        """How many have not ended."""
        with reading(self._database) as connection:
            wanted = select(func.count()).select_from(SESSION).where(SESSION.c.expires > self._clock())
            return int(connection.execute(wanted).scalar_one())

    def find(self, request: Request) -> Session | None:
        """The session of a request; None for an unknown, ended or missing one.

        Raises:
            NotAvailableError: The database cannot be used.
        """
        secret = request.cookies.get(COOKIE, "")
        if not secret:
            return None
        wanted = select(SESSION.c.sealed).where(
            SESSION.c.key == hash_of(secret), SESSION.c.expires > self._clock()
        )
        try:
            with reading(self._database) as connection:
                sealed = connection.execute(wanted).scalar_one_or_none()
        except SQLAlchemyError as error:
            raise NotAvailableError(
                "Who is logged in cannot be told now: the hub's database fails."
            ) from error
        return None if sealed is None else _opened(sealed, secret)

    def begin(self, request: Request, answer: Response, token: str, name: str, expires: float) -> Session:
        """A new session under a new id, whatever the browser held before: that one is ended."""
        now = self._clock()
        made = Session(token, name, min(expires, now + LIFE_S))
        secret = secrets.token_urlsafe(32)
        row = {"key": hash_of(secret), "sealed": _sealed(made, secret), "expires": int(made.expires)}
        with writing(self._database) as connection:
            connection.execute(delete(SESSION).where(SESSION.c.expires <= now))
            self._remove(connection, request)
            first = select(SESSION.c.key).order_by(SESSION.c.expires.desc()).offset(MOST - 1)
            connection.execute(delete(SESSION).where(SESSION.c.key.in_(first)))
            connection.execute(insert(SESSION).values(row))
        set_cookie(answer, COOKIE, secret, int(made.expires - now))
        return made

    def end(self, request: Request, answer: Response) -> None:
        """End the session of a request."""
        with writing(self._database) as connection:
            self._remove(connection, request)
        set_cookie(answer, COOKIE, "", 0)

    def _remove(self, connection: Connection, request: Request) -> None:
        key = hash_of(request.cookies.get(COOKIE, ""))
        connection.execute(delete(SESSION).where(SESSION.c.key == key))


def set_cookie(answer: Response, name: str, value: str, life_s: int) -> None:
    """A cookie that no script reads, and that no other site's form or frame brings along."""
    answer.set_cookie(name, value, max_age=life_s, path="/", secure=True, httponly=True, samesite="lax")


def hash_of(secret: str) -> str:
    """What is kept of a secret that a browser holds."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _sealed(session: Session, secret: str) -> bytes:
    return _cipher(secret).encrypt(_NONCE, json.dumps(asdict(session)).encode(), None)


def _opened(sealed: bytes, secret: str) -> Session | None:
    try:
        return Session(**json.loads(_cipher(secret).decrypt(_NONCE, sealed, None)))
    except InvalidTag:
        return None  # somebody has changed the row


def _cipher(secret: str) -> AESGCM:
    key = HKDF(SHA256(), 32, salt=None, info=b"fallow page session").derive(secret.encode())
    return AESGCM(key)
