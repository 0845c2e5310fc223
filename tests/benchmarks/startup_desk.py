"""At the desk: Snakemake with the executor or the stock job script, each job handed to whoever watches a directory.

Usage: python -m tests.benchmarks.startup_desk DIRECTORY SNAKEMAKE-ARGUMENT …
       python -m tests.benchmarks.startup_desk submit DIRECTORY JOBSCRIPT

A job is a folder in DIRECTORY with its files; `ready` says that it is complete, `code` what it ended with.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.snakemake_executor.conftest import MemoryQueue

from fallow.queue import JobSpec, JobState

PAUSE_S = 0.02


def hand_over(directory: Path, files: list[Path], argv: Sequence[str]) -> Path:
    """Give a job to whoever watches; its folder."""
    folder = directory / secrets.token_hex(6)
    folder.mkdir()
    (folder / "argv").write_text(json.dumps(argv))
    for file in files:
        shutil.copy(file, folder / file.name)
    (folder / "ready").touch()
    return folder


def outcome(folder: Path) -> int | None:
    """What a job ended with; None while it runs."""
    code = folder / "code"
    return int(code.read_text()) if code.exists() and code.read_text() else None


class Handed(MemoryQueue):
    """A queue whose jobs somebody else runs."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.folders: dict[str, Path] = {}
        self.on_submit = self.hand

    def hand(self, spec: JobSpec, job: str) -> None:
        """Hand a job over."""
        self.folders[spec.key] = hand_over(self.directory, list(spec.input_files), spec.argv)

    def status(self, run: str, *, ended: bool = False) -> dict[str, object]:  # type: ignore[override]
        """The jobs, after a look at what became of them."""
        for key, folder in self.folders.items():
            if (code := outcome(folder)) is not None and key in self.records:
                self.change(key, state=JobState.FINISHED, exit_code=code, finished=int(time.time()))
        return dict(super().status(run))

    def fetch(self, job: str, *, into: Path) -> None:
        """What a failed job said."""
        [key] = [key for key, record in self.records.items() if record.id == job]
        for name in ("stdout", "stderr"):
            shutil.copy(self.folders[key] / name, into / name)


def submit(directory: Path, script: Path) -> int:
    """Hand a stock job script over and wait for its end."""
    folder = hand_over(directory, [script], ["sh", script.name])
    while outcome(folder) is None:
        time.sleep(PAUSE_S)
    print(folder.name)
    return outcome(folder) or 0


def main() -> None:
    """See the usage."""
    if sys.argv[1] == "submit":
        sys.exit(submit(Path(sys.argv[2]), Path(sys.argv[3])))
    from snakemake.cli import main as snakemake

    import fallow.queue.hub

    queue = Handed(Path(sys.argv[1]))
    fallow.queue.hub.open_queue = lambda hub: queue  # type: ignore[assignment,return-value]
    snakemake(sys.argv[2:])


if __name__ == "__main__":
    main()
