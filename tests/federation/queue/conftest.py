from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fallow.queue import JobSpec

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., JobSpec]:
    """Makes job specifications that differ from a plain one in what is given."""

    def make(**changes: Any) -> JobSpec:
        plain = {
            "run": "r1", "key": "k1", "name": "map (sample=A)", "image": DIGEST, "argv": ("true",), "directory": tmp_path
        }  # fmt: skip
        return JobSpec(**{**plain, **changes})

    return make
