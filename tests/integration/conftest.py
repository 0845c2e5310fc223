"""A testbed for all tests of this folder, and what they need to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fallow_testbed.images import testbed_layers
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def layers() -> tuple[Path, ...]:
    """Root file system layers of testbed hosts, built if need be."""
    return testbed_layers()


@pytest.fixture(scope="session")
def bed(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """The demo's federation, shared by the tests that leave it as they found it."""
    testbed = Testbed(tmp_path_factory.mktemp("testbeds") / "shared")
    testbed.up(DEFAULT, layers, Progress())
    yield testbed
    testbed.down()
