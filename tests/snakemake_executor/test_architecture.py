"""A job asks for nodes of its images' architecture."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from fallow.client import ClientSettings
from fallow.errors import UsageError
from snakemake_executor_plugin_fallow.federation import Federated

if TYPE_CHECKING:
    from tests.snakemake_executor.conftest import Hub, LocalQueue

USUAL, ARM = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def test_the_images_of_a_job_are_for_one_architecture(hub: Hub, queue: LocalQueue) -> None:
    said = {"publisher": "alder.alice", "created": datetime.now(UTC).isoformat(), "architecture": "aarch64"}
    hub.published[ARM] = [said]
    settings = ClientSettings(hub="https://hub.example.org")
    found = Federated(hub, queue, settings, {}, own_keys=True, prefix=None)
    assert found.architecture([ARM]) == "aarch64"
    assert found.architecture([USUAL]) == "x86_64"
    with pytest.raises(UsageError, match="for several architectures: aarch64, x86_64"):
        found.architecture([USUAL, ARM])
