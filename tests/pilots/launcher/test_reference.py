"""The reference page of the policy says what the models say."""

from __future__ import annotations

from pathlib import Path

from fallow_pilots.reference import page

ROOT = Path(__file__).parents[3]


def test_the_reference_page_is_the_one_that_the_models_make() -> None:
    stored = (ROOT / "docs" / "reference" / "policy.md").read_text()
    assert stored == page(), "write it anew: python -m fallow_pilots.reference > docs/reference/policy.md"


def test_every_table_of_the_policy_is_on_the_page() -> None:
    tables = ("identity", "batch", "pilot", "limits", "when", "conditions", "assume", "backoff")
    assert [name for name in tables if f"## `[{name}]`" not in page()] == []
