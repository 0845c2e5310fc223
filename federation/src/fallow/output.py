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
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        numeric = all(isinstance(row.get(column), (int, float)) for row in rows) and bool(rows)
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        cells = ("" if row.get(column) is None else str(row[column]) for column in columns)
        table.add_row(*(escape(cell) for cell in cells))
    # Where nobody looks at a screen, a table is as wide as it has to be.
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
