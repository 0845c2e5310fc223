"""The reference page of `fallow simulate` says what the code says."""

from __future__ import annotations

from pathlib import Path

from fallow_matcher.simulation.reference import page

ROOT = Path(__file__).parents[3]


def test_the_reference_page_is_the_one_that_the_code_makes() -> None:
    stored = (ROOT / "docs" / "reference" / "simulate.md").read_text(encoding="utf-8")
    assert stored == page(), (
        "write it anew: python -m fallow_matcher.simulation.reference > docs/reference/simulate.md"
    )
