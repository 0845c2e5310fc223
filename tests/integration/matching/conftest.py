"""A federation of its own: its ledger has a history, and its matcher and negotiator are killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import inside, published
from tests.integration.matching.pool import HISTORY, Pool

from fallow_testbed import people
from fallow_testbed.images import ensure_sif
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed

DECLARATION = Path(__file__).parent / "federation.toml"


@pytest.fixture(scope="module")
def pool(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """The federation of `federation.toml`, warm, with the ledger's history."""
    bed = Testbed(tmp_path_factory.mktemp("testbeds") / "matching")
    bed.up(DECLARATION, layers, Progress())
    try:

        def at(person: str, function: Callable[..., Any], *arguments: Any) -> Any:
            return inside(bed.host("desk"), people.environment(bed.layout(), person), function, *arguments)

        packed = ensure_sif("analysis")
        image = f"sha256:{packed.sha256}"
        at("alice", published, packed.sif, image)
        found = Pool(bed, image, at)
        found.record(HISTORY)
        found.warm("warm")
        yield found
    finally:
        bed.down()
