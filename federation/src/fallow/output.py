"""How commands show things: one table for people, the same rows as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, title: str = ""
) -> None:
    """Print `rows` as a table of `columns`, or all their fields as a JSON array when `as_json`."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2, default=str))
        return
    console().print(table(rows, columns, title=title))


def console() -> Console:
    """The screen; where nobody looks at one, it is as wide as a table has to be."""
    found = Console()
    return found if found.is_terminal else Console(width=200)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str = "") -> Table:
    """`rows` as a table of `columns`."""
    made = Table(title=title or None, title_justify="left")
    for column in columns:
        numeric = all(isinstance(row.get(column), (int, float)) for row in rows) and bool(rows)
        made.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        cells = ("" if row.get(column) is None else str(row[column]) for column in columns)
        made.add_row(*(escape(cell) for cell in cells))
    return made
