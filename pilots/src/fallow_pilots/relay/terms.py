"""What the launcher, the relay and the nodes agree on: one file on the file system that they share."""

import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from fallow.errors import NotAvailableError
from fallow.files import read_private, write_private
from fallow.messages import Federation
from fallow.settings import Settings

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
    """Where the relay listens, who may use it, and where it leads."""

    host: str
    """Name or address of the login host on the network that the compute nodes are on."""
    port: int = Field(ge=1024, le=65535)
    """The relay's port."""
    key: str = Field(repr=False, min_length=32)
    """Proves that a connection comes from a pilot of this centre: who can read this file."""
    targets: tuple[Target, ...]
    """Where it leads."""

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


def renew(path: Path, host: str, port: int, targets: Sequence[Target]) -> None:
    """Put terms in force and keep them fresh: the key stays, and so does the file where nothing has changed."""
    before = read_terms(path)
    key = before.key if before else secrets.token_hex(32)
    terms = Terms(host=host, port=port, key=key, targets=tuple(targets))
    if terms == before:
        os.utime(path)
    else:
        terms.write(path)


def places(hub: str, federation: Federation, also: Sequence[str] = ()) -> "list[tuple[str, int, str]]":
    """What a pilot and its payloads must reach: host, port and what is there.

    Args:
        hub: The gateway's URL.
        federation: What the hub says of itself.
        also: Further places of the policy, `host:port`.
    """
    found = [(*_of_url(hub), "gateway"), (*_split(federation.collector), "HTCondor collector")]
    if federation.queue:
        found.append((*_split(federation.queue), "HTCondor queue"))
    found.append((*_of_url(federation.s3_endpoint), "S3 store"))
    found += [(*_split(place), "named in the policy") for place in also]
    first: dict[tuple[str, int], str] = {}
    for host, port, what in found:
        first.setdefault((host, port), what)
    return [(host, port, what) for (host, port), what in first.items()]


def targets_of(wanted: "Sequence[tuple[str, int, str]]") -> "list[Target]":
    """The places with their addresses.

    Raises:
        NotAvailableError: A name is not known here.
    """
    return [Target(host=host, port=port, address=_address(host), what=what) for host, port, what in wanted]


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise NotAvailableError(
            f"This host knows no IPv4 address of {host}.", remedy="Look at its DNS."
        ) from error


def _of_url(url: str) -> "tuple[str, int]":
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)


def _split(text: str) -> "tuple[str, int]":
    host, _, port = text.rpartition(":")
    return host, int(port)
