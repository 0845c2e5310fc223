"""Files of one grant, moved several at a time: by threads, or by processes where they are many or large.

A request costs Python about as much of a processor as a small file's bytes, and the threads of one interpreter share one
processor. The processes are started once and kept, as long as whoever wants them lives.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Callable, TypeVar

from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import Grant, StagedFile
from fallow.storage.objects import Objects, objects_of
from fallow.storage.staging import Patience, fetch, store

log = logging.getLogger(__name__)

THREADS = 4
"""Files that one process moves at the same time."""
PROCESSES = 3
MANY_FILES, MANY_BYTES = 64, 64 << 20
"""From so many on, the processes are worth their memory."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Mover:
    """Moves files between a folder and the store; another process may be given it.

    Args:
        grant: What the hub answered; the files in it are not looked at.
        renew: Asks the hub for the same once more; of a module's own functions, so that another process has it too.
        ca_file: Who vouches for the store's certificate, where no public authority does.
        folder: Where the files lie here.
        patience: How long all of them may take.
    """

    grant: Grant
    renew: Callable[[], Grant]
    ca_file: str | None
    folder: Path
    patience: Patience

    @cached_property
    def objects(self) -> Objects:
        """The way to the store, with its connections."""
        return objects_of(self.grant, self.renew, self.ca_file)

    def fetch(self, file: StagedFile) -> None:
        """Have an object in the folder."""
        fetch(file, self.folder / file.path, self.objects, self.patience)

    def store(self, file: StagedFile) -> None:
        """Make a file of the folder an object."""
        store(file, self.folder, self.objects, self.patience)

    def __getstate__(self) -> dict[str, Any]:
        """All but connections, and files that the other process is told of anyway."""
        state = {name: value for name, value in self.__dict__.items() if name != "objects"}
        return {**state, "grant": self.grant.model_copy(update={"files": []})}


def each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `work` gives for all items, several at a time; the first error, once all that had begun have ended."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(THREADS, len(items)), "fallow-staging") as pool:
        return _results(pool, work, items)


def moved(work: Callable[[StagedFile], None], files: Sequence[StagedFile]) -> None:
    """Call `work` for all files, several at a time; each process has its part of them from the start.

    Args:
        work: A method of a `Mover`, or what else another process can be given.
        files: What is to be moved.

    Raises:
        StagingError: The first of them, once all that had begun have ended.
    """
    heavy = len(files) >= MANY_FILES or sum(file.bytes for file in files) >= MANY_BYTES
    if len(files) < 2 or not heavy:
        each(work, files)
        return
    largest_first = sorted(files, key=lambda file: file.bytes, reverse=True)
    parts = [(work, largest_first[start::PROCESSES]) for start in range(min(PROCESSES, len(files)))]
    crew = _Crew.there()
    try:
        _results(crew.pool, _part, parts)
    except BrokenProcessPool as error:
        crew.forget()
        raise StagingError(Trouble.AWAY, "A process that moved files was killed.") from error


def _results(pool: Any, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    running = [pool.submit(work, item) for item in items]
    try:
        return [one.result() for one in running]
    except BaseException:
        for one in running:
            one.cancel()
        wait(running)
        raise


def _part(part: tuple[Callable[[StagedFile], None], Sequence[StagedFile]]) -> None:
    each(*part)


class _Crew:
    """The processes; they begin as programs of their own, since whoever wants them may have threads."""

    _now: _Crew | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=_end_with_parent)

    @classmethod
    def there(cls) -> _Crew:
        with cls._lock:
            cls._now = cls._now or cls()
            return cls._now

    def forget(self) -> None:
        """Another one is begun when it is wanted."""
        with self._lock:
            if _Crew._now is self:
                _Crew._now = None
        self.pool.shutdown(wait=False)


def _end_with_parent() -> None:
    """A process of the pool waits for ever where its parent was killed: it holds both ends of the pipe to it."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="fallow-parent", daemon=True).start()
