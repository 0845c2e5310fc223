"""The reference page of the rules says what the model says."""

from __future__ import annotations

from pathlib import Path

from fallow.rules.reference import page

ROOT = Path(__file__).parents[3]


def test_the_reference_page_is_the_one_that_the_model_makes() -> None:
    stored = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    assert stored == page(), "write it anew: python -m fallow.rules.reference > docs/reference/rules.md"


def test_every_table_of_the_rules_is_on_the_page() -> None:
    assert [name for name in ("work_types", "resource_classes") if f"## `[{name}.NAME]`" not in page()] == []
