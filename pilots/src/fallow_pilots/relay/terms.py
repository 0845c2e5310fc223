"""Who makes connections for others, by what proof, and where he leads: one file, on a file system that both sides see.

The relay has one for the nodes; the site's proxy, or a machine that is attached over ssh, has one for the launcher's host.
"""

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from fallow.errors import NotAvailableError
from fallow.files import read_private, write_private
from fallow.messages import Federation
from fallow.settings import Settings
from fallow_pilots.relay import connect

PORTS = {"https": 443, "http": 80}


class Target(Settings):
    """One place that the relay leads to."""

    host: str
    """Its name, as certificates and clients know it."""
    port: int = Field(ge=1, le=65535)
    """Its port."""
    address: str
    """Its IPv4 address, by the login host's word: compute nodes may know no names."""
    what: str
    """What is there, for people."""

    @property
    def authority(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"


class Terms(Settings):
    """Where the other side listens, who may use it, and where it leads."""

    host: str
    """Name or address of the host that it listens at; a relay's is that of the login host on the nodes' network."""
    port: int = Field(ge=1, le=65535)
    """Its port."""
    key: Optional[str] = Field(default=None, repr=False, min_length=32)
    """Proves that a connection comes from one who can read this file; a site's proxy has none."""
    login: Optional[str] = Field(default=None, repr=False)
    """What a site's proxy wants instead, `user:password`."""
    targets: tuple[Target, ...]
    """Where it leads."""
    files: Optional[Path] = None
    """The directory in which a relay and its nodes leave each other files; none: the relay listens."""
    upstream: Optional[Path] = None
    """Terms of whoever this relay reaches them by; none: it dials them itself."""
    metrics: Optional[Path] = None
    """Where the relay keeps its numbers for Prometheus; none: nowhere."""

    @property
    def authority(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def request(self, target: str, now: float) -> bytes:
        """How a connection to `target`, `host:port`, is asked for."""
        if self.key is not None:
            return connect.request(target, self.key, now)
        return connect.proxy_request(target, self.login)

    def write(self, path: Path) -> None:
        """Store the terms at `path`, 0600, whole or not at all."""
        write_private(path, self.model_dump_json(indent=1) + "\n")


def lock_of(terms: Path) -> Path:
    """Held by the one relay."""
    return terms.with_suffix(".lock")


def log_of(terms: Path) -> Path:
    """What the relay says."""
    return terms.with_suffix(".log")


def read_terms(path: Path) -> Optional[Terms]:
    """The terms in force; None where there are none, or none that can be used.

    Raises:
        SettingsError: The file is open to others.
    """
    text = read_private(path)
    with suppress(ValidationError):
        return None if text is None else Terms.model_validate_json(text)
    return None


def renew(
    path: Path,
    host: str,
    port: int,
    targets: Sequence[Target],
    upstream: Optional[Path] = None,
    files: Optional[Path] = None,
    metrics: Optional[Path] = None,
) -> None:
    """Put a relay's terms in force and keep them fresh: the key stays, and so does the file where nothing has changed."""
    before = read_terms(path)
    key = before.key if before else secrets.token_hex(32)
    put(
        path,
        Terms(
            host=host,
            port=port,
            key=key,
            targets=tuple(targets),
            upstream=upstream,
            files=files,
            metrics=metrics,
        ),
    )


def put(path: Path, terms: Terms) -> None:
    """Put terms in force; the file stays as it is, but younger, where nothing has changed."""
    if terms == read_terms(path):
        os.utime(path)
    else:
        terms.write(path)


def places(
    hub: str, federation: Optional[Federation], also: Sequence[str] = ()
) -> "list[tuple[str, int, str]]":
    """What a pilot and its payloads must reach: host, port and what is there.

    Args:
        hub: The gateway's URL.
        federation: What the hub says of itself; None where it could not be asked yet.
        also: Further places of the policy, `host:port`.
    """
    found = [(*url_place(hub), "gateway")]
    if federation:
        found.append((*_split(federation.collector), "HTCondor collector"))
        found += [(*_split(federation.queue), "HTCondor queue")] if federation.queue else []
        for other in federation.hubs:
            found += [
                (*url_place(other.url), "gateway"),
                (*_split(other.collector), "HTCondor collector"),
                (*_split(other.queue), "HTCondor queue"),
            ]
        found.append((*url_place(federation.s3_endpoint), "S3 store"))
    found += [(*_split(place), "named in the policy") for place in also]
    first: dict[tuple[str, int], str] = {}
    for host, port, what in found:
        first.setdefault((host, port), what)
    return [(host, port, what) for (host, port), what in first.items()]


def targets_of(
    wanted: "Sequence[tuple[str, int, str]]", known: "Optional[Mapping[str, str]]" = None
) -> "list[Target]":
    """The places with their addresses.

    Args:
        wanted: Host, port and what is there.
        known: Addresses that need not be asked for, by host.

    Raises:
        NotAvailableError: A name is not known here.
    """
    known = known or {}
    return [
        Target(host=host, port=port, address=known.get(host) or _address(host), what=what)
        for host, port, what in wanted
    ]


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise NotAvailableError(
            f"This host knows no IPv4 address of {host}.", remedy="Look at its DNS, or name it in /etc/hosts."
        ) from error


def url_place(url: str) -> "tuple[str, int]":
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)


def _split(text: str) -> "tuple[str, int]":
    host, _, port = text.rpartition(":")
    return host, int(port)
