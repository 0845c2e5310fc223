"""How commands show things: one table for people, the same rows as JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import click

from fallow.errors import NotAvailableError

if TYPE_CHECKING:  # a launcher shows nothing, and holds no libraries for it
    from rich.console import Console, RenderableType
    from rich.table import Table

T = TypeVar("T")

Told = Callable[[str, int, int], None]
"""Is told of one piece of work how much of it is done, and how much there is."""


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
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=200)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, title: str = "") -> Table:
    """`rows` as a table of `columns`."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=title or None, title_justify="left")
    for column in columns:
        numeric = all(isinstance(row.get(column), (int, float)) for row in rows) and bool(rows)
        made.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        cells = ("" if row.get(column) is None else str(row[column]) for column in columns)
        made.add_row(*(escape(cell) for cell in cells))
    return made


def keep_showing(
    fetch: Callable[[], T],
    screen: Callable[[T], RenderableType],
    *,
    every_s: float,
    over: Callable[[T], bool] = lambda _: False,
) -> None:
    """Keep showing what is fetched until it is over, or until Ctrl-C, which is no failure.

    While nobody answers, the last that came stays on the screen, with a line that says so: who watches for days wants to see
    it go on after a restart of the hub.

    Raises:
        NotAvailableError: Nobody answers at the beginning.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.markup import escape

    found = fetch()
    with suppress(KeyboardInterrupt), Live(screen(found), console=console(), auto_refresh=False) as live:
        while not over(found):
            time.sleep(every_s)
            try:
                found = fetch()
                shown = screen(found)
            except NotAvailableError as error:
                shown = Group(screen(found), escape(f"{error.what} Asked again every {every_s:g} s."))
            live.update(shown, refresh=True)


@contextmanager
def bars(*, quiet: bool) -> Iterator[Told | None]:
    """A bar for each piece of work on the terminal's error stream; None where nobody looks."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    screen = Console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None
        return
    with Progress(console=screen, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def told(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield told
