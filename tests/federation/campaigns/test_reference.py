"""The reference page of campaigns says what the model says."""

from __future__ import annotations

from pathlib import Path

from fallow.campaigns.reference import page

ROOT = Path(__file__).parents[3]


def test_the_reference_page_is_the_one_that_the_model_makes() -> None:
    stored = (ROOT / "docs" / "reference" / "campaign.md").read_text(encoding="utf-8")
    assert stored == page(), (
        "write it anew: python -m fallow.campaigns.reference > docs/reference/campaign.md"
    )
