"""One S3 server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.matcher.gateway.store import HUB_KEYS, connect, served

JWKS: dict[str, Any] = {"keys": []}


@pytest.fixture(scope="session")
def jwks() -> dict[str, Any]:
    """The keys that the store takes for the hub's; a test puts its hub's there."""
    return JWKS


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory, jwks: dict[str, Any]) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("s3"), "https://hub.example.org:8443", jwks) as url:
        yield url


@pytest.fixture
def objects(endpoint: str) -> Any:
    return connect("s3", endpoint, *HUB_KEYS)
