"""Progress of long work: a live line with the time spent at a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Live
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column


class Progress:
    """Says on standard error what is being done and, when it is done, how long it took.

    Steps may lie in one another and run in several threads at once: each has its line while it runs.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._steps = 0

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show `text` while the body runs, then, if it succeeded, once more with the seconds that it took."""
        began = time.monotonic()
        with self._shown(text):
            yield
        self.note(f"{text} ({time.monotonic() - began:.1f} s)")

    def note(self, text: str) -> None:
        """Say one line about what is being done."""
        self._console.print(f"  {text}", markup=False, soft_wrap=True)

    @contextmanager
    def _shown(self, text: str) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with self._lock:
            if self._live is None:
                # The text is what gives way on a narrow terminal, not the time.
                columns = (
                    SpinnerColumn(table_column=Column(min_width=1)),
                    TimeElapsedColumn(table_column=Column(min_width=7)),
                    TextColumn(
                        "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
                    ),
                )
                self._live = Live(*columns, console=self._console, transient=True, expand=True)
                self._live.start()
            live = self._live
            self._steps += 1
            line = live.add_task(text, total=None)
        try:
            yield
        finally:
            with self._lock:
                self._steps -= 1
                if self._steps == 0:
                    live.stop()
                    self._live = None
                else:
                    live.remove_task(line)
                    live.refresh()
