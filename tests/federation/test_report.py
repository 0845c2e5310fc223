"""`fallow report`: the same figures as a table, a page, PDF, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pypdf import PdfReader

from fallow import client
from fallow.commands.report import report
from fallow.commands.words import MonthName
from fallow.ledger import paper
from fallow.ledger.messages import Sum
from fallow.ledger.monthly import Day, MonthReport, Waited, digest_of, span

HOSTILE = "<script>alert(1)</script>=1+1Ω"


def total(*, core_s: float = 7200, **group: Any) -> Sum:
    return Sum(group=group, runs=3, wall_s=core_s, core_s=core_s, value=core_s / 2)


def november(**changes: Any) -> MonthReport:
    """A report with something of everything."""
    since, until = span("2025-11")
    cpu: dict[str, Any] = {"work_type": "analysis", "resource_class": "cpu"}
    values: dict[str, Any] = {
        "centre": "north", "month": "2025-11", "since": since, "until": until,
        "given": [total(consumer="south", **cpu), total(consumer="west", work_type="test", resource_class="a100")],
        "got": [total(core_s=3600, provider="south", **cpu)],
        "home": [total(**cpu)],
        "people": [total(user=HOSTILE, resource_class="cpu")],
        "ends": [total(side="got", outcome="done")],
        "days": [Day(day="2025-11-02", resource_class="cpu", given_core_s=7200, home_core_s=3600)],
        "running": 1, "pilots": 4, "offered_core_s": 36_000,
        "waits": [Waited(resource_class="cpu", jobs=5, mean_s=60, p95_s=120, alone_jobs=4, alone_mean_s=600,
                         alone_p95_s=900, saved_s=2160)],
    }  # fmt: skip
    made = MonthReport(**{**values, **changes})
    return made.model_copy(update={"digest": digest_of(made)})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A hub that knows November; what it was asked for."""
    asked: list[tuple[str, str]] = []

    class Hub:
        def month_report(self, centre: str, month: str) -> MonthReport:
            asked.append((centre, month))
            since, until = span(month)
            return november(month=month, since=since, until=until)

    monkeypatch.setattr(client, "connect", Hub)
    return asked


def run(*words: str) -> str:
    done = CliRunner().invoke(report, ["--centre", "north", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("month", "days"), [("2026-02", 28), ("2028-02", 29), ("2025-11", 30), ("2026-12", 31)]
)
def test_a_month_lasts_from_its_first_moment_to_the_next_ones(month: str, days: int) -> None:
    since, until = span(month)
    assert (until - since).days == days
    assert (since.day, since.hour, until.day, until.hour) == (1, 0, 1, 0)


@pytest.mark.parametrize("text", ["2026-13", "2026-00", "2026", "11-2026", "2025-11-01", "november"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no month"):
        MonthName().convert(text, None, None)


def test_people_read_it_in_sentences_and_tables(told: list[tuple[str, str]]) -> None:
    said = run("--month", "2025-11")
    assert told == [("north", "2025-11")]
    assert (
        "north gave 2.00 a100-hours and 2.00 core-hours to south, west and got 1.00 core-hours from south."
        in said
    )
    assert "4 cpu jobs that its own machines could have run waited 0.60 hours less" in said
    assert "1 of its cpu jobs could not have run on its own machines at all." in said
    assert november().digest in " ".join(said.split())


def test_a_month_that_goes_on_is_told_to_change(told: list[tuple[str, str]]) -> None:
    assert told == []
    assert "2999-12 has not ended: this report will change." in run("--month", "2999-12")


def test_page_pdf_and_csv_are_written_at_once(told: list[tuple[str, str]], tmp_path: Path) -> None:
    files = {kind: tmp_path / f"north.{kind}" for kind in ("html", "pdf", "csv")}
    said = run(
        "--month", "2025-11", *(word for kind, file in files.items() for word in (f"--{kind}", str(file)))
    )
    assert told
    assert said.split() == [str(file) for file in files.values()]
    assert files["html"].read_text(encoding="utf-8") == paper.page(november())
    assert files["pdf"].read_bytes() == paper.pdf(november())
    rows = list(csv.DictReader(io.StringIO(files["csv"].read_text(encoding="utf-8"))))
    figures = {(row["part"], row["who"], row["resource_class"]): row for row in rows}
    assert figures["given", "south", "cpu"]["core_s"] == "7200.0"
    assert figures["got", "south", "cpu"]["value_s"] == "1800.0"
    assert figures["ends got", "done", ""]["runs"] == "3"
    assert figures["day given", "2025-11-02", "cpu"]["core_s"] == "7200.0"
    assert figures["wait saved_s", "", "cpu"]["seconds"] == "2160.0"
    assert figures["digest", november().digest, ""]


def test_programs_read_json(told: list[tuple[str, str]]) -> None:
    assert json.loads(run("--month", "2025-11", "--json")) == november().model_dump(mode="json")
    assert told


def test_the_same_report_gives_the_same_bytes_with_its_digest() -> None:
    first, again = november(), MonthReport.model_validate_json(november().model_dump_json())
    assert paper.page(first) == paper.page(again)
    assert paper.pdf(first) == paper.pdf(again)
    assert first.digest in paper.page(first)
    assert paper.pdf(first).startswith(b"%PDF-")


def test_names_are_on_paper_as_they_are_written() -> None:
    names = ["Žilina.Łukasz", "Kraków.Ştefan", "Αθήνα", "Київ", HOSTILE]
    written = paper.pdf(november(people=[total(user=name, resource_class="cpu") for name in names]))
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(written)).pages).replace("\n", "")
    assert [name for name in names if name not in text] == []
    assert len(written) < 50_000  # of the fonts, it holds what it uses


def test_a_page_runs_nothing_that_a_name_brings() -> None:
    page = paper.page(november())
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "&lt;script&gt;" in page


def test_a_plot_has_a_bar_for_each_kind_of_a_day() -> None:
    page = paper.page(november())
    assert page.count("<rect") == 2
    assert "The highest bar is 3.00 h." in page


def test_an_empty_month_is_a_report_as_well() -> None:
    nothing: dict[str, Any] = {key: [] for key in ("given", "got", "home", "people", "ends", "days", "waits")}
    empty = november(**nothing, pilots=0, offered_core_s=0)
    assert "north gave nothing to anybody and got nothing from anybody." in paper.page(empty)
    assert paper.pdf(empty).startswith(b"%PDF-")
