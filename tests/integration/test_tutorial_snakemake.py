"""The tutorial for Snakemake users: every command of the page is run, in order, in the shared testbed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from tests.integration.pages import ROOT, one, run_page

from fallow_testbed.testbed import Testbed

PAGE = ROOT / "docs" / "tutorial" / "snakemake.md"


@pytest.fixture(scope="module")
def said(bed: Testbed) -> Iterator[dict[str, str]]:
    """What each command of the page said."""
    try:
        yield {command: stdout + stderr for command, stdout, stderr in run_page(PAGE, bed, 300)}
    finally:
        shutil.rmtree(ROOT / "words", ignore_errors=True)


@pytest.mark.timeout(900)
def test_every_command_of_the_tutorial_works(said: dict[str, str]) -> None:
    assert len(said) >= 10


def test_the_profile_makes_the_command_short(said: dict[str, str]) -> None:
    assert "8 of 8 steps (100%) done" in one(said, ".venv/bin/snakemake")


def test_the_result_is_the_workflows(said: dict[str, str]) -> None:
    assert one(said, "cat words/counts.tsv") == "one\t5\nthree\t5\ntwo\t5\n"


def test_the_summary_proposes_what_to_ask_for(said: dict[str, str]) -> None:
    assert '"propose_mem_mb": ' in one(said, "*.json")
    assert "mem_mb →" in one(said, ".venv/bin/snakemake")


def test_the_report_has_the_summary_on_its_first_page(said: dict[str, str]) -> None:
    assert "Fallow run " in (ROOT / "words" / "report.html").read_text()


def test_the_page_shows_the_profile_that_it_uses() -> None:
    profile = (ROOT / "docs" / "tutorial" / "snakemake" / "profiles" / "default" / "config.yaml").read_text()
    assert f"```yaml\n{profile}```" in PAGE.read_text()
