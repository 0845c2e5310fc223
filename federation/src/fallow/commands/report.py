"""`fallow report`: what a centre gave and got in a month, for its director, as tables, page, PDF or CSV."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fallow.commands.words import month_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fallow.ledger.monthly import MonthReport

_COLUMNS = ("part", "who", "work_type", "resource_class", "runs", "core_s", "value_s", "seconds")


def _file_option(kind: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{kind}", type=click.Path(dir_okay=False, path_type=Path), help=words)


@click.command()
@click.option("--centre", required=True, help="The centre; your own, unless you operate the hub.")
@month_option
@_file_option("html", "Write a page with plots.")
@_file_option("pdf", "Write the same as PDF.")
@_file_option("csv", "Write the figures, one to a line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    centre: str, month: str, html: Path | None, pdf: Path | None, csv: Path | None, as_json: bool
) -> None:
    """Report what a centre gave and got in a month, whom it helped, and what waiting that saved."""
    from fallow.client import connect
    from fallow.commands.ledger import write_csv
    from fallow.ledger import paper

    found = connect().month_report(centre, month)
    if found.until > datetime.now(timezone.utc):
        click.echo(f"{month} has not ended: this report will change.", err=True)
    if html is not None:
        html.write_text(paper.page(found), encoding="utf-8")
    if pdf is not None:
        pdf.write_bytes(paper.pdf(found))
    if csv is not None:
        with csv.open("w", encoding="utf-8", newline="") as stream:
            write_csv(stream, list(figures(found)), _COLUMNS)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    elif files := [path for path in (html, pdf, csv) if path is not None]:
        for path in files:
            click.echo(path)
    else:
        _show(found)


def figures(found: MonthReport) -> Iterator[dict[str, Any]]:
    """Every figure of a report on a line of its own, with what it belongs to."""
    sides = {"given": "consumer", "got": "provider", "home": "", "people": "user", "ends": "outcome"}
    for part, who in sides.items():
        for one in getattr(found, part):
            yield {
                "part": f"ends {one.group['side']}" if part == "ends" else part,
                "who": one.group.get(who, ""),
                **one.group,
                "runs": one.runs,
                "core_s": one.core_s,
                "value_s": one.value,
            }
    for day in found.days:
        for side in ("given", "got", "home"):
            held = getattr(day, f"{side}_core_s")
            yield {
                "part": f"day {side}",
                "who": day.day,
                "resource_class": day.resource_class,
                "core_s": held,
            }
    yield {"part": "offered", "runs": found.pilots, "core_s": found.offered_core_s}
    for each in found.waits:
        for name in ("mean_s", "p95_s", "alone_mean_s", "alone_p95_s", "saved_s"):
            counted = each.jobs if name in ("mean_s", "p95_s") else each.alone_jobs
            kind = {"resource_class": each.resource_class, "runs": counted}
            yield {"part": f"wait {name}", **kind, "seconds": getattr(each, name)}
    yield {"part": "digest", "who": found.digest}


def _show(found: MonthReport) -> None:
    from fallow.ledger.statement import Heading, Table, Text, blocks, title
    from fallow.output import show

    click.echo(title(found))
    heading = ""
    for block in blocks(found):
        if isinstance(block, Heading):
            heading = block.text
        elif isinstance(block, Table) and block.rows:
            show(block.rows, list(block.rows[0]), as_json=False, title=heading)
        elif isinstance(block, Text) and not heading.startswith("Day"):
            click.echo(block.text)
