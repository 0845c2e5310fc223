"""Progress of long work: a live line with the time spent at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console


class Progress:
    """Says on standard error what is being done and, when it is done, how long it took."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show `text` while the body runs, then once more with the seconds that it took."""
        began = time.monotonic()
        if sys.stderr.isatty():
            with self._console.status(text):
                yield
        else:
            yield
        click.echo(f"  {text} ({time.monotonic() - began:.1f} s)", err=True)

    def note(self, text: str) -> None:
        """Say one line about what is being done."""
        click.echo(f"  {text}", err=True)
