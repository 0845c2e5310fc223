"""The reference page says what the code says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from snakemake_executor_plugin_fallow import resources
from snakemake_executor_plugin_fallow.reference import RESOURCES, page

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_the_one_that_the_code_makes() -> None:
    stored = (ROOT / "docs" / "reference" / "snakemake.md").read_text()
    again = "python -m snakemake_executor_plugin_fallow.reference > docs/reference/snakemake.md"
    assert stored == page(), f"write it anew: {again}"


def test_every_resource_that_is_read_is_on_the_page() -> None:
    read = set(re.findall(r'resources, "(\w+)"', inspect.getsource(resources)))
    assert read <= {name for name, *_ in RESOURCES}
