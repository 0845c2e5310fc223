"""What a workflow used of its working directory while it was read, so that its jobs, which read it again, find the same.

Snakemake itself sends the workflow's own files and scripts, and the rest only where git knows of it. A sample sheet, a
schema or a module that is imported would be missing on the node otherwise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDERS = ("bin", "envs", "lib", "schemas", "scripts", "templates")
"""What rules call by a path in their commands lies there by custom."""
LARGEST_BYTES = 10_000_000
"""Snakemake's own limit: what is larger is data, and belongs into the storage."""
MOST_BYTES = 50_000_000
_NEVER = (".pyc", ".sif")


class Watch:
    """The files that this process opens for reading, from `start` on."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._on = False
        self._hooked = False

    def start(self) -> None:
        """Begin to look; hooks cannot be taken away, so there is one that may rest."""
        self._on = True
        if not self._hooked:
            self._hooked = True
            sys.addaudithook(self._see)

    def stop(self) -> set[str]:
        """Look no more; returns the paths as they were opened, made absolute then."""
        self._on = False
        found, self._paths = self._paths, set()
        return found

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or event != "open":
            return
        path, _, flags = arguments
        if isinstance(path, str) and isinstance(flags, int) and flags & os.O_ACCMODE == os.O_RDONLY:
            self._paths.add(os.path.abspath(path))  # noqa: PTH100 - links stay links, and it is fast


watch = Watch()
"""Of this process."""


def used(workflow: Any, directory: Path) -> list[Path]:
    """Files below `directory` that jobs may need beside those that Snakemake sends, in order.

    Args:
        workflow: Snakemake's workflow, after it was read.
        directory: The working directory.
    """
    made = {os.path.abspath(file) for job in workflow.dag.jobs for file in job.output}  # noqa: PTH100
    found = {
        path.relative_to(directory)
        for path in map(Path, sorted(watch.stop() - made))
        if path.is_relative_to(directory)
    }
    for folder in _folders(workflow, directory):
        found.update(file.relative_to(directory) for file in folder.rglob("*"))
    for module in list(sys.modules.values()):
        file = Path(getattr(module, "__file__", None) or os.sep)
        if file.is_relative_to(directory):
            found.add(file.relative_to(directory))
    return list(_bounded(sorted(filter(_is_source, found)), directory))


def _folders(workflow: Any, directory: Path) -> Iterator[Path]:
    """Folders that travel with all that is in them: by custom, and those of local wrappers."""
    places = {directory}
    for source in workflow.included:
        text = (
            str(source.get_path_or_uri(secret_free=True))
            if hasattr(source, "get_path_or_uri")
            else str(source)
        )
        places.add(Path(text).absolute().parent)
    named = [place / name for place in places for name in FOLDERS]
    for rule in workflow.rules:
        scheme, _, path = str(rule.wrapper or "").partition(":")
        if scheme == "file":
            wrapper = Path(os.path.normpath(directory / path.removeprefix("//")))
            named.append(wrapper if wrapper.is_dir() else wrapper.parent)
    for folder in named:
        if folder.is_dir() and folder.is_relative_to(directory) and folder != directory:
            yield folder


def _is_source(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__pycache__" for part in path.parent.parts) and (
        path.suffix not in _NEVER
    )


def _bounded(paths: Iterable[Path], directory: Path) -> Iterator[Path]:
    """Those that are files of a size that can be sent with every job."""
    total = 0
    for path in paths:
        file = directory / path
        if file.is_file() and (size := file.stat().st_size) <= LARGEST_BYTES:
            total += size
            if total > MOST_BYTES:
                return
            yield path
