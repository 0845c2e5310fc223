"""One JSON document from an issuer's server, bounded in size and time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fallow.errors import NotAvailableError
from fallow.tokens.compact import strict_json
from fallow.tokens.issuers import TrustedIssuer, is_loopback

MAX_BYTES = 256 * 1024
DEADLINE_S = 10.0

Fetch = Callable[[str, TrustedIssuer], "dict[str, Any]"]
"""Gets the JSON object at a URL on behalf of an issuer, or raises `NotAvailableError`."""


def fetch_json(url: str, issuer: TrustedIssuer, *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """Get the JSON object at `url`: HTTPS with host check, no redirect, no credentials, no proxy.

    Args:
        url: Where; also from an issuer's metadata, so not trusted to be HTTPS.
        issuer: Whose certificate authorities and exceptions hold.
        deadline_s: The time for everything, name resolution and a server that drips included.

    Raises:
        NotAvailableError: There is no such object within the bounds.
    """
    parts = urlsplit(url)
    loopback = parts.scheme == "http" and issuer.allow_loopback_http and is_loopback(parts.hostname or "")
    if (parts.scheme != "https" and not loopback) or "@" in parts.netloc:
        raise NotAvailableError(
            f"{url} is not a plain https:// URL.", remedy="The issuer must mend its metadata."
        )
    raw = _within(deadline_s, lambda: _get(url, issuer.ca_file, deadline_s), url)
    try:
        document = strict_json(raw)
    except ValueError as error:
        raise NotAvailableError(f"{url} does not give strict JSON.") from error
    if not isinstance(document, dict):
        raise NotAvailableError(f"{url} does not give a JSON object.")
    return document


def _get(url: str, ca_file: Path | None, deadline_s: float) -> bytes:
    import requests

    from fallow.web import BROKEN, arrived

    end = time.monotonic() + deadline_s
    with requests.Session() as session:
        session.trust_env = (
            False  # no .netrc, no proxy, no other certificate authorities from the environment
        )
        session.verify = str(ca_file) if ca_file else True
        try:
            with session.get(
                url,
                timeout=deadline_s,
                allow_redirects=False,
                stream=True,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            ) as response:
                if response.status_code != 200:
                    raise NotAvailableError(f"{url} answers {response.status_code}.", retryable=True)
                raw = b""
                while len(raw) <= MAX_BYTES and time.monotonic() < end:
                    chunk = arrived(response.raw, MAX_BYTES + 1 - len(raw))
                    if not chunk:
                        return raw
                    raw += chunk
        except (*BROKEN, ValueError) as error:
            raise NotAvailableError(f"{url} cannot be read: {error}.", retryable=True) from error
    raise NotAvailableError(f"{url} gives more than {MAX_BYTES // 1024} KiB or is too slow.", retryable=True)


def _within(deadline_s: float, call: Callable[[], bytes], url: str) -> bytes:
    """Run `call` in a thread and wait for it no longer than `deadline_s`.

    The time limits of sockets hold for each read, and name resolution has none; a thread left behind ends by
    itself.
    """
    box: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            box.put(call())
        except Exception as error:  # noqa: BLE001 - handed over to the caller
            box.put(error)

    threading.Thread(target=work, name="fallow-fetch", daemon=True).start()
    try:
        result = box.get(timeout=deadline_s)
    except queue.Empty:
        raise NotAvailableError(f"{url} did not answer within {deadline_s:g} s.", retryable=True) from None
    if isinstance(result, Exception):
        raise result
    return result
