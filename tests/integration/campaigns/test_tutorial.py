"""The tutorial for production managers: every command of the page is run, in order, in the shared testbed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from tests.integration.pages import ROOT, one, run_page

from fallow_testbed.testbed import Testbed

PAGE = ROOT / "docs" / "tutorial" / "production.md"


@pytest.fixture(scope="module")
def said(bed: Testbed) -> Iterator[dict[str, str]]:
    """What each command of the page said."""
    found: dict[str, str] = {}
    try:
        for command, stdout, _ in run_page(PAGE, bed, 400):
            found[command] = found.get(command, "") + stdout
        yield found
    finally:
        shutil.rmtree(ROOT / "zmumu", ignore_errors=True)


@pytest.mark.timeout(900)
def test_injecting_again_adds_nothing(said: dict[str, str]) -> None:
    first, second = one(said, "inject zmumu/campaign.toml").splitlines()
    assert first == "zmumu: 19 rows injected, 0 were there already."
    assert second == "zmumu: 0 rows injected, 19 were there already."


def test_the_peak_is_the_mass_of_the_z_boson(said: dict[str, str]) -> None:
    found = json.loads(one(said, "mass.json"))
    assert found["made"] == 3000
    assert sum(found["counts"]) == found["seen"] > 500
    assert abs(found["peak_gev"] - 91) <= 2
    assert "the peak is at 91 GeV" in one(said, "logs zmumu all")


def test_the_page_shows_what_the_document_says(said: dict[str, str]) -> None:
    document = (PAGE.parent / "production" / "campaign.toml").read_text()
    blocks = [block.split("```")[0] for block in PAGE.read_text().split("```toml\n")[1:]]
    assert len(blocks) == 3
    assert all(block in document for block in blocks)
    assert "<svg" in (ROOT / "zmumu" / "report.html").read_text()
