"""`fallow hub status`: each part of a hub, asked from outside of them all."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine

from fallow_matcher.board.health import Part, parts
from fallow_matcher.database import attach_database
from fallow_matcher.gateway.s3 import Store
from fallow_matcher.pool import Pool
from fallow_matcher.settings import HubSettings

CONNECT_S = 5.0
MOST_BYTES = 64 * 1024


@dataclass
class Hub:
    """A hub as somebody sees it who runs none of its parts.

    Args:
        settings: The hub's settings.
    """

    settings: HubSettings

    @cached_property
    def pool(self) -> Pool:
        """Its HTCondor."""
        return Pool(self.settings)

    @cached_property
    def database(self) -> Engine:
        """Its database, as it is.

        Raises:
            NotAvailableError: It cannot be used.
        """
        return attach_database(self.settings.database_url)

    @cached_property
    def store(self) -> Store:
        """Its S3 store."""
        return Store(self.settings.storage)


def status(settings: HubSettings, now: float) -> list[Part]:
    """Every part: whether it is well, and in words how."""
    return [_gateway(settings), *parts(Hub(settings), now), _campaigns(settings)]


def _gateway(settings: HubSettings) -> Part:
    try:
        answer, _ = served(settings, "/healthz")
    except (OSError, http.client.HTTPException) as error:
        return Part("gateway", False, f"it does not answer: {error}")
    return Part(
        "gateway",
        answer == 200,
        f"it answers at {settings.page_url}" if answer == 200 else f"status {answer}",
    )


def served(settings: HubSettings, path: str, host: str | None = None) -> tuple[int, bytes]:
    """The status and body that the gateway answers with; who vouches for its certificate is not asked here.

    Args:
        settings: The hub's settings.
        path: What is asked for.
        host: Where the gateway is; at this hub's own address unless given.
    """
    context = ssl._create_unverified_context()  # noqa: S323 - nothing secret is sent, and doctor checks the certificate
    connection = http.client.HTTPSConnection(
        host or settings.listen, settings.ports.gateway, timeout=CONNECT_S, context=context
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(MOST_BYTES)
    finally:
        connection.close()


def certificate_served(settings: HubSettings) -> bytes:
    """The certificate (DER) that the gateway shows.

    Raises:
        OSError: It does not answer.
    """
    context = ssl._create_unverified_context()  # noqa: S323 - what is shown is what is asked for
    place = (settings.listen, settings.ports.gateway)
    with (
        socket.create_connection(place, timeout=CONNECT_S) as plain,
        context.wrap_socket(plain, server_hostname=settings.host) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def _campaigns(settings: HubSettings) -> Part:
    acts = _acts(settings, "campaigns")
    return Part("campaigns", acts, "it acts" if acts else "no conductor of campaigns runs")


def writers(settings: HubSettings) -> list[str]:
    """The parts that run now and write to the database."""
    try:
        served(settings, "/healthz")
        found = ["gateway"]
    except (OSError, http.client.HTTPException):
        found = []
    locks = {"matcher": "matching", "campaigns": "campaigns"}
    return found + [part for part, folder in locks.items() if _acts(settings, folder)]


def _acts(settings: HubSettings, folder: str) -> bool:
    """Whether the one acts that keeps its records in this folder."""
    return is_held(settings.state_dir / folder / "lock")


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock of the one that acts."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
