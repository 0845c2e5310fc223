"""Device codes, authorisation codes and refresh tokens, in one SQLite file that the server and the `approve` command share.

Only hashes of the secrets are kept. A refresh token works once: using it gives the next of its family, and a
second use of an old one ends the whole family, because one of the two users has stolen it.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fallow_dev_issuer.errors import IssuerError, OAuthError

USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
SLOW_DOWN_STEP_S = 5
"""What a client that polls too fast has to add to its interval (RFC 8628 section 3.5)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS device (
    code_hash TEXT PRIMARY KEY, user_code TEXT NOT NULL UNIQUE, client_id TEXT NOT NULL, scope TEXT NOT NULL,
    audience TEXT NOT NULL, expires REAL NOT NULL, interval_s REAL NOT NULL, polled REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', user TEXT
);
CREATE TABLE IF NOT EXISTS code (
    code_hash TEXT PRIMARY KEY, client_id TEXT NOT NULL, user TEXT NOT NULL, scope TEXT NOT NULL, audience TEXT NOT NULL,
    redirect TEXT NOT NULL, challenge TEXT NOT NULL, nonce TEXT NOT NULL, expires REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS refresh (
    token_hash TEXT PRIMARY KEY, family TEXT NOT NULL, client_id TEXT NOT NULL, user TEXT NOT NULL,
    scope TEXT NOT NULL, audience TEXT NOT NULL, expires REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True)
class Grant:
    """What a user has allowed a client: the scopes and audiences as the client asked for them."""

    client_id: str
    user: str
    scopes: list[str]
    audience: list[str]
    nonce: str = ""
    """What the client wants to find in the ID token of the code flow."""


@dataclass(frozen=True)
class DeviceCode:
    """A started device flow."""

    device_code: str
    user_code: str


def challenge_of(verifier: str) -> str:
    """The challenge of a PKCE verifier by the method S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class GrantStore:
    """The SQLite file; every method is one transaction, and every moment is unix seconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with self._transaction() as db:
            db.executescript(_SCHEMA)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        db.row_factory = sqlite3.Row
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            if db.in_transaction:
                db.execute("COMMIT")
        finally:
            db.close()

    def start_device(
        self,
        client_id: str,
        scopes: list[str],
        audience: list[str],
        *,
        now: float,
        life_s: float,
        interval_s: float,
    ) -> DeviceCode:
        """Begin a device flow; codes that expired a while ago are dropped on the way."""
        letters = "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))
        started = DeviceCode(secrets.token_urlsafe(32), f"{letters[:4]}-{letters[4:]}")
        with self._transaction() as db:
            db.execute("DELETE FROM device WHERE expires < ?", (now - 3600,))
            db.execute(
                "INSERT INTO device"
                " (code_hash, user_code, client_id, scope, audience, expires, interval_s, polled)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _hash(started.device_code),
                    started.user_code,
                    client_id,
                    " ".join(scopes),
                    " ".join(audience),
                    now + life_s,
                    interval_s,
                    0.0,
                ),
            )
        return started

    def decide(self, user_code: str, user: str, *, approve: bool, now: float) -> None:
        """Record the user's decision on a waiting device flow.

        Raises:
            IssuerError: No flow with this code waits.
        """
        letters = "".join(char for char in user_code.upper() if char in USER_CODE_LETTERS)
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE device SET state = ?, user = ?"
                " WHERE user_code = ? AND state = 'pending' AND expires > ?",
                ("approved" if approve else "denied", user, f"{letters[:4]}-{letters[4:]}", now),
            ).rowcount
        if not changed:
            raise IssuerError(
                f"No login waits for the code {user_code!r}. Check the code, or start the login again."
            )

    def redeem_device(self, device_code: str, client_id: str, *, now: float) -> Grant:
        """Answer a client's poll; an approved code works once.

        Raises:
            OAuthError: Not yet, too fast, denied, expired or unknown, with the codes of RFC 8628 section 3.5.
        """
        refusal: OAuthError | None = None
        with self._transaction() as db:
            key = (_hash(device_code),)
            row = db.execute("SELECT * FROM device WHERE code_hash = ?", key).fetchone()
            if row is None or row["client_id"] != client_id:
                refusal = OAuthError("invalid_grant", "The device code is unknown.")
            elif now >= row["expires"]:
                refusal = OAuthError("expired_token", "The device code has expired; start the login again.")
            elif row["state"] == "denied":
                db.execute("DELETE FROM device WHERE code_hash = ?", key)
                refusal = OAuthError("access_denied", "The user refused.")
            elif row["state"] == "approved":
                db.execute("DELETE FROM device WHERE code_hash = ?", key)
            elif now < row["polled"] + row["interval_s"]:
                slower = row["interval_s"] + SLOW_DOWN_STEP_S
                db.execute(
                    "UPDATE device SET polled = ?, interval_s = ? WHERE code_hash = ?", (now, slower, *key)
                )
                refusal = OAuthError("slow_down", f"Poll at most every {slower:g} seconds.")
            else:
                db.execute("UPDATE device SET polled = ? WHERE code_hash = ?", (now, *key))
                refusal = OAuthError("authorization_pending", "The user has not decided yet.")
        if refusal:
            raise refusal
        return Grant(client_id, row["user"], row["scope"].split(), row["audience"].split())

    def new_code(self, grant: Grant, *, redirect: str, challenge: str, now: float, life_s: float) -> str:
        """Make an authorisation code, bound to where it is sent and to the client's PKCE challenge (S256)."""
        code = secrets.token_urlsafe(32)
        scope, audience = " ".join(grant.scopes), " ".join(grant.audience)
        with self._transaction() as db:
            db.execute("DELETE FROM code WHERE expires < ?", (now,))
            db.execute(
                "INSERT INTO code (code_hash, client_id, user, scope, audience, redirect, challenge, nonce, expires)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _hash(code),
                    grant.client_id,
                    grant.user,
                    scope,
                    audience,
                    redirect,
                    challenge,
                    grant.nonce,
                    now + life_s,
                ),
            )
        return code

    def redeem_code(self, code: str, client_id: str, *, redirect: str, verifier: str, now: float) -> Grant:
        """Use an authorisation code up; one that is shown with anything wrong is spent as well.

        Raises:
            OAuthError: `invalid_grant`.
        """
        with self._transaction() as db:
            key = (_hash(code),)
            row = db.execute("SELECT * FROM code WHERE code_hash = ?", key).fetchone()
            db.execute("DELETE FROM code WHERE code_hash = ?", key)
        good = (
            row is not None
            and now < row["expires"]
            and (row["client_id"], row["redirect"]) == (client_id, redirect)
            and hmac.compare_digest(row["challenge"].encode(), challenge_of(verifier).encode())
        )
        if not good:
            raise OAuthError(
                "invalid_grant", "The code is unknown, expired, already used, or not for this client."
            )
        return Grant(client_id, row["user"], row["scope"].split(), row["audience"].split(), row["nonce"])

    def new_refresh_token(self, grant: Grant, *, now: float, life_s: float, family: str = "") -> str:
        """Make a refresh token for `grant`, as the first of a new family if none is named."""
        token = secrets.token_urlsafe(32)
        with self._transaction() as db:
            db.execute("DELETE FROM refresh WHERE expires < ?", (now,))
            db.execute(
                "INSERT INTO refresh (token_hash, family, client_id, user, scope, audience, expires)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    _hash(token),
                    family or secrets.token_hex(16),
                    grant.client_id,
                    grant.user,
                    " ".join(grant.scopes),
                    " ".join(grant.audience),
                    now + life_s,
                ),
            )
        return token

    def redeem_refresh(self, token: str, client_id: str, *, now: float) -> tuple[Grant, str]:
        """Use a refresh token up; returns what it grants and its family.

        Raises:
            OAuthError: `invalid_grant`; a second use also ends the family.
        """
        valid = False
        with self._transaction() as db:
            row = db.execute("SELECT * FROM refresh WHERE token_hash = ?", (_hash(token),)).fetchone()
            if row is not None and row["client_id"] == client_id:
                if row["used"]:
                    db.execute("DELETE FROM refresh WHERE family = ?", (row["family"],))
                else:
                    db.execute("UPDATE refresh SET used = 1 WHERE token_hash = ?", (row["token_hash"],))
                    valid = now < row["expires"]
        if not valid:
            raise OAuthError(
                "invalid_grant", "The refresh token is unknown, expired, revoked or already used."
            )
        return Grant(client_id, row["user"], row["scope"].split(), row["audience"].split()), row["family"]

    def revoke(self, token: str, client_id: str) -> None:
        """End the family of a refresh token; anything else is left as it is (RFC 7009 section 2.2)."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM refresh WHERE family IN"
                " (SELECT family FROM refresh WHERE token_hash = ? AND client_id = ?)",
                (_hash(token), client_id),
            )
