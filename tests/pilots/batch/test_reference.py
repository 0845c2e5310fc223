"""The page on batch systems shows policies that are valid."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from fallow.settings import parse
from fallow_pilots.batch import open_batch
from fallow_pilots.policy import Batch

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "batch-systems.md"
EXAMPLES = re.findall(r"(?s)```toml\n(.*?)```", PAGE.read_text())


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_example_is_a_valid_policy_for_its_system(text: str) -> None:
    settings = parse(Batch, tomllib.loads(text)["batch"], source="the page")
    assert open_batch(settings, "fallow-alder-").programs


def test_there_is_an_example_for_every_system() -> None:
    found = re.findall(r'system = "([a-z]+)"', "".join(EXAMPLES))
    assert sorted(found) == ["fork", "htcondor", "pbs", "slurm"]
