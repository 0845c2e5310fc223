"""The part of `fallow.queue.client.Queue` that the plugin uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fallow.queue import JobRecord, JobSpec


class QueueLike(Protocol):
    """See `fallow.queue.client.Queue`."""

    def submit(self, specs: Sequence[JobSpec]) -> list[str]: ...  # noqa: D102
    def status(self, run: str, *, ended: bool = False) -> dict[str, JobRecord]: ...  # noqa: D102
    def history(self, ids: Sequence[str]) -> dict[str, JobRecord]: ...  # noqa: D102
    def remove(self, *, run: str | None = None, ids: Sequence[str] = (), reason: str = ...) -> int: ...  # noqa: D102
    def take(self, ids: Sequence[str]) -> None: ...  # noqa: D102
    def fetch(self, job: str, *, into: Path) -> None: ...  # noqa: D102
