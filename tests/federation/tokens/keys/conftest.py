"""An issuer on a real HTTPS server for each test."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.federation.tokens.keys.issuer import Context, IssuerServer


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve(authority: trustme.CA, signer: Any) -> Iterator[Callable[..., IssuerServer]]:
    running = []

    def start(name: str | None = "127.0.0.1", path: str = "", by: trustme.CA = authority) -> IssuerServer:
        context = None
        if name:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            by.issue_cert(name).configure_cert(context)
        running.append(IssuerServer(context, signer, path))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def world(tmp_path: Path, authority: trustme.CA, serve: Callable[..., IssuerServer], signer: Any) -> Context:
    return Context(tmp_path, authority, serve(), signer)
