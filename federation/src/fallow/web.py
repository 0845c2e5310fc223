"""Bounded HTTPS exchanges: verified TLS always, no redirects, limits on time and size, polite repetitions."""

from __future__ import annotations

import json
import logging
import random
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, Callable

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from fallow import __version__
from fallow.errors import FallowError, NotAvailableError, SettingsError

logger = logging.getLogger(__name__)

CONNECT_S = 5.0
READ_S = 20.0
EXCHANGE_S = 60.0
"""The longest that one answer may take from the first byte sent to the last byte read."""
MAX_BODY_BYTES = 4 * 1024 * 1024
ATTEMPTS = 4
LONGEST_PAUSE_S = 61.0
"""Who asked too often in a minute is told to come again within one."""
NOTED_S = 5.0
"""A pause that is longer is told to whoever waits."""
PASSING = frozenset({429, 502, 503, 504})
"""Statuses that say: later."""
BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)
"""What is raised where an answer does not come, or breaks off."""

Dial = Callable[[str, int, float], socket.socket]
"""Makes a connection to a host and port within so many seconds; raises OSError where it cannot."""


def arrived(raw: Any, at_most: int) -> bytes:
    """What has come by now of an answer without an encoding, so that a server that drips meets a deadline.

    Args:
        raw: The `raw` of an answer of requests.
        at_most: So many bytes; at least one is waited for, none come at the end.
    """
    if hasattr(raw, "read1"):
        return bytes(raw.read1(at_most))
    inner = raw._fp  # of urllib3 1.26, which boto3 wants on Python 3.9
    found = bytes(inner.read1(at_most))
    if not found and inner.length:
        raise IncompleteRead(found, inner.length)
    return found


def for_people(text: str, limit: int = 300) -> str:
    """What a stranger said, fit to show: one line, no control characters, not too long."""
    clean = re.sub(r"[^\x20-\x7e\xa0-\uffff]+", " ", text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


@dataclass(frozen=True)
class Answer:
    """One complete answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ValueError: It is not one.
        """
        try:
            decoded = json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(decoded, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one exception type for callers
        return decoded

    def retry_after_s(self, now: datetime) -> float | None:
        """Seconds that the other side asks to wait, or None where it does not say or says nonsense."""
        said = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"[0-9]{1,9}", said):
            return float(said)
        try:
            moment = parsedate_to_datetime(said)
        except (TypeError, ValueError, IndexError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0.0, (moment - now).total_seconds())


def pause_before_repeating(attempt: int, asked_s: float | None, luck: float) -> float | None:
    """How long to wait before the next attempt, or None to give up.

    Args:
        attempt: How many attempts have failed, from 1.
        asked_s: What the other side asked for.
        luck: A random number from 0 to 1, so that many clients do not come back at once.
    """
    if attempt >= ATTEMPTS:
        return None
    own = 0.5 * 2 ** (attempt - 1) * (0.5 + luck)
    pause = own if asked_s is None else max(own, asked_s)
    return pause if pause <= LONGEST_PAUSE_S else None


def _place(url: str) -> str:
    """A URL fit to show, without what it asks for."""
    return for_people(url.partition("?")[0])


def _reason(error: Exception) -> str:
    """Why an exchange failed, without the layers of libraries around it."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    inner = getattr(inner, "reason", inner)
    return for_people(re.sub(r"^.*?Connection(Pool)?\([^)]*\):\s*", "", str(inner))).rstrip(".")


class _Authorization(requests.auth.AuthBase):
    """Sets the token, and, even without one, keeps `~/.netrc` out of it."""

    def __init__(self, token: str, scheme: str) -> None:
        self._token = token
        self._scheme = scheme

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"{self._scheme} {self._token}"
        return request


def _dialled(dial: Dial) -> type[HTTPSConnectionPool]:
    """Connections that `dial` makes; TLS is spoken through them as ever."""

    class Connection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            limit_s = self.timeout if isinstance(self.timeout, (int, float)) else CONNECT_S
            try:
                return dial(self.host, self.port or 443, limit_s)
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool


class _Trusting(HTTPAdapter):
    """Verifies servers with one given context; `dial` makes the connections where they are not this host's own."""

    def __init__(self, context: ssl.SSLContext, dial: Dial | None) -> None:
        self._context = context
        self._dial = dial
        if urllib3.__version__.startswith("1."):  # type: ignore[attr-defined]
            # It gives ssl no name to compare where the host is an address, but compares by itself where ssl does not.
            context.check_hostname = False
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        if self._dial is not None:
            self.poolmanager.pool_classes_by_scheme = {"https": _dialled(self._dial)}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)


def session(
    ca_file: Path | None = None, *, system_too: bool = False, dial: Dial | None = None
) -> requests.Session:
    """Connections to https:// URLs.

    Args:
        ca_file: Certificate authorities to trust; None for the system's.
        system_too: Trust the system's authorities beside `ca_file`.
        dial: Makes the connections, where the way out is not this host's own.

    Raises:
        SettingsError: `ca_file` cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The file of certificate authorities {ca_file} cannot be used: {error}.",
            remedy="Name a readable PEM file.",
            setting="ca_file",
        ) from error
    if ca_file and system_too:
        context.load_default_certs()
    made = requests.Session()
    made.trust_env = dial is None
    made.mount("https://", _Trusting(context, dial))
    return made


class Web:
    """Sends requests to https:// URLs only.

    Args:
        ca_file: Certificate authorities to trust; None for the system's.
        system_too: Trust the system's authorities beside `ca_file`.
        dial: Makes the connections, where the way out is not this host's own.
        sleep: Waits the given seconds.

    Raises:
        SettingsError: `ca_file` cannot be used.
    """

    def __init__(
        self,
        ca_file: Path | None = None,
        *,
        system_too: bool = False,
        dial: Dial | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._sleep = sleep
        self._session = session(ca_file, system_too=system_too, dial=dial)
        self._session.headers.update(
            {
                "User-Agent": f"fallow/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            }
        )

    def send(
        self,
        method: str,
        url: str,
        *,
        bearer: str = "",
        scheme: str = "Bearer",
        form: Mapping[str, str] | None = None,
        document: str | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """Send one request and read the whole answer, whatever its status.

        Args:
            method: The HTTP method.
            url: Where to, https:// only.
            bearer: A token for the Authorization header.
            scheme: What that header calls the token.
            form: Fields of a form body.
            document: A JSON body.
            repeatable: Whether doing it twice is the same as doing it once: only then is it tried again after
                a failure or a status that says "later".

        Raises:
            NotAvailableError: No complete answer came.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._exchange(method, url, _Authorization(bearer, scheme), form, document)
            except NotAvailableError as error:
                pause = pause_before_repeating(attempt, None, random.random())  # noqa: S311 - only spreads load
                if not (repeatable and error.retryable) or pause is None:
                    raise
            else:
                asked_s = answer.retry_after_s(datetime.now(timezone.utc))
                pause = pause_before_repeating(attempt, asked_s, random.random())  # noqa: S311
                if answer.status not in PASSING or not repeatable or pause is None:
                    return answer
            level = logging.WARNING if pause > NOTED_S else logging.INFO
            logger.log(level, "%s %s: trying again in %.1f s", method, _place(url), pause)
            self._sleep(pause)

    def _exchange(
        self,
        method: str,
        url: str,
        authorization: _Authorization,
        form: Mapping[str, str] | None,
        document: str | None,
    ) -> Answer:
        if not url.startswith("https://"):
            raise FallowError(f"{for_people(url)} is not an https:// URL.", remedy="Nothing was sent to it.")
        server = _place(url)
        deadline = time.monotonic() + EXCHANGE_S
        try:
            with self._session.request(
                method,
                url,
                auth=authorization,
                data=dict(form) if form is not None else document.encode() if document is not None else None,
                headers={"Content-Type": "application/json"} if document is not None else None,
                timeout=(CONNECT_S, READ_S),
                allow_redirects=False,
                verify=self._verify,
                stream=True,
            ) as response:
                body = bytearray()
                while chunk := arrived(response.raw, 16 * 1024):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise NotAvailableError(f"{server} answered with more than {MAX_BODY_BYTES} bytes.")
                    if time.monotonic() > deadline:
                        raise NotAvailableError(
                            f"{server} took longer than {EXCHANGE_S:g} s.", retryable=True
                        )
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, headers, bytes(body))
        except requests.exceptions.SSLError as error:
            raise NotAvailableError(
                f"The certificate of {server} was not accepted: {_reason(error)}.",
                remedy="Check the URL; if a private authority signed it, name its file as ca_file.",
            ) from error
        except requests.exceptions.InvalidURL as error:
            raise SettingsError(f"{server} is not a URL: {_reason(error)}.") from error
        except BROKEN as error:
            raise NotAvailableError(
                f"{server} does not answer: {_reason(error)}.",
                remedy="Check the network, or try again later.",
                retryable=True,
            ) from error
