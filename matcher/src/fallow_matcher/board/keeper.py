"""Keeps the federation's page ready: it is made every few seconds, however many people look at it."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import FallowError
from fallow_matcher.board import render
from fallow_matcher.board.figures import Figures, Reader

logger = logging.getLogger(__name__)


WAITS_EVERY_S = 600


@dataclass(frozen=True)
class View:
    """The page as some people may see it."""

    sections: Mapping[str, Markup]
    page: bytes
    packed: bytes
    """The same, gzipped; nothing secret is ever in it."""


@dataclass(frozen=True)
class Board:
    """The page at one moment."""

    version: int
    figures: Figures
    public: View
    members: View


class Keeper:
    """Makes the page until it is closed; while the database fails, the last one stands, with its time on it.

    Args:
        reader: Reads what is shown.
        interval_s: Seconds from one page to the next.
    """

    def __init__(self, reader: Reader, interval_s: float) -> None:
        self._reader = reader
        self._board: Board | None = None
        self._making = threading.Lock()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(self.look, interval_s), name="board", daemon=True),
            threading.Thread(
                target=self._run, args=(self.look_at_waits, WAITS_EVERY_S), name="waits", daemon=True
            ),
        ]

    def start(self) -> None:
        """Begin in the background."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads; a simulation that still runs ends with the process."""
        self._closing.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5)

    @property
    def closing(self) -> bool:
        """Whether no further page will come."""
        return self._closing.is_set()

    @property
    def now(self) -> Board:
        """The page as it stands; made where there is none yet.

        Raises:
            FallowError: As `Reader.read`.
            SQLAlchemyError: As `Reader.read`.
        """
        with self._making:
            if self._board is None:
                self._board = self._made(1)
            return self._board

    def look(self) -> None:
        """Make the page anew; a failure is logged."""
        try:
            before = self._board
            made = self._made(before.version + 1 if before else 1)
            with self._making:
                self._board = made
        except (FallowError, SQLAlchemyError) as error:
            logger.warning("the page stays as it was: %s", error)

    def look_at_waits(self) -> None:
        """Find out how long jobs waited, for the next page; a failure is logged."""
        try:
            self._reader.look_at_waits()
        except (FallowError, SQLAlchemyError) as error:
            logger.warning("the waits stay as they were: %s", error)

    def _made(self, version: int) -> Board:
        figures = self._reader.read()
        sections = render.sections(figures)
        public = {name: each for name, each in sections.items() if render.PARTS[name] in figures.published}
        return Board(
            version, figures, _view(figures, public, members=False), _view(figures, sections, members=True)
        )

    def _run(self, look: Callable[[], None], every_s: float) -> None:
        look()
        while not self._closing.wait(every_s):
            look()


def _view(figures: Figures, sections: Mapping[str, Markup], *, members: bool) -> View:
    whole = len(sections) == len(render.PARTS)
    page = render.page(
        "board.html", figures=figures, sections=sections, members=members, whole=whole
    ).encode()
    return View(sections, page, gzip.compress(page, compresslevel=5))
