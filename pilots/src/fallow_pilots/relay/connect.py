"""How a node asks the relay for a connection: HTTP's CONNECT (RFC 9110, section 9.3.6) with a proof of the centre's key.

The key itself never travels: each request carries a moment and the HMAC of target and moment. What an eavesdropper on the
centre's network could repeat for a minute leads to the hub's public ports only, where everybody has to prove who he is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from fallow_pilots.outcome import printable

SCHEME = "Fallow"
FRESH_S = 60.0
END = b"\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """What the relay says to a request."""

    status: int
    words: str

    def encoded(self) -> bytes:
        """As bytes."""
        return f"HTTP/1.1 {self.status} {self.words}\r\n\r\n".encode("ascii")


CONNECTED = Answer(200, "Connected")
MALFORMED = Answer(400, "Not a request for a connection")
UNPROVEN = Answer(407, "No proof of the key, or clocks disagree")
ELSEWHERE = Answer(403, "The relay does not lead there")
UNREACHED = Answer(502, "The target cannot be reached")
FULL = Answer(503, "Too many connections")


def request(target: str, key: str, now: float) -> bytes:
    """The request to a relay for a connection to `target`, `host:port`."""
    return _head(target, f"{SCHEME} {int(now)}:{_proof(target, key, int(now))}")


def proxy_request(target: str, login: str | None) -> bytes:
    """The request to a site's proxy, with a login `user:password` where it wants one (RFC 7617)."""
    return _head(target, f"Basic {base64.b64encode(login.encode()).decode()}" if login else "")


def judge(head: bytes, key: str, targets: Collection[str], now: float) -> tuple[str, Answer]:
    """Whether a request is granted.

    Args:
        head: All of the request.
        key: The centre's key.
        targets: Where the relay leads, `host:port` each.
        now: Unix time.

    Returns:
        The target, and the answer: `CONNECTED` where it is granted and the target can be reached.
    """
    try:
        first, *headers = head.decode("ascii").rstrip("\r\n").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError:
        return "", MALFORMED
    if method != "CONNECT" or not version.startswith("HTTP/1."):
        return "", MALFORMED
    given = dict(_header(line) for line in headers).get("proxy-authorization", "")
    if not _proven(given, target, key, now):
        return target, UNPROVEN
    return target, CONNECTED if target in targets else ELSEWHERE


def status_of(head: bytes) -> int:
    """The status in an answer; 0 where it is none."""
    words = head.split(b" ", 2)
    good = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit()
    return int(words[1]) if good else 0


def words_of(head: bytes) -> str:
    """Status and reason in an answer, fit to show."""
    return printable(head.split(b"\r\n", 1)[0].decode("ascii", "replace").partition(" ")[2])[:100]


def _head(target: str, authorization: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    return "\r\n".join(lines).encode("ascii") + END


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _proven(given: str, target: str, key: str, now: float) -> bool:
    scheme, _, said = given.partition(" ")
    moment, _, proof = said.partition(":")
    if scheme != SCHEME or not moment.isdigit() or abs(now - int(moment[:12])) > FRESH_S:
        return False
    return hmac.compare_digest(proof, _proof(target, key, int(moment[:12])))


def _proof(target: str, key: str, moment: int) -> str:
    return hmac.new(key.encode(), f"{moment} {target}".encode(), hashlib.sha256).hexdigest()
