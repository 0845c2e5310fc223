from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fallow_pilots.node.layout import Layout, create
from fallow_pilots.spec import PilotSpec


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., PilotSpec]:
    """A specification with everything in the test's directory; any field may be given."""

    def make(**fields: object) -> PilotSpec:
        values: dict[str, object] = {
            "pilot": "alder-7",
            "centre": "alder",
            "hub": "https://hub.example.org:8443",
            "collector": "hub.example.org:9618",
            "trust_domain": "fallow.example.org",
            "token_file": tmp_path / "token",
            "outcome_file": tmp_path / "outcome",
            "cores": 4,
            "memory_mb": 4000,
            "disk_mb": 1000,
            "walltime_s": 3600,
            "idle_exit_s": 300,
            "scratch_dir": tmp_path,
            "image_store_dir": tmp_path / "store",
        }
        return PilotSpec.model_validate({**values, **fields})

    return make


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    """A pilot's private directory."""
    return create(tmp_path, "alder-7")
