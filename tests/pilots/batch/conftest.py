"""Programs of a batch system that answer what was recorded from a real one."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


class Recorded:
    """Programs on PATH, each with an answer for every command line that it is prepared for."""

    def __init__(self, folder: Path, system: str) -> None:
        self._folder = folder
        self._system = system
        self._answers: dict[str, list[tuple[str, str]]] = {}

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        log = self._folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def text(self, name: str) -> str:
        """A recorded answer."""
        return (FIXTURES / self._system / name).read_text()

    def answers(
        self, program: str, words: str = "", *, name: str = "", says: str = "", code: int = 0
    ) -> None:
        """Let `program`, called with `words` among its arguments, print a recorded answer, or `says`.

        The last preparation that fits a call counts. Code 0 prints to standard output, any other to standard error.
        """
        text = self.text(name) if name else says
        stream = "" if code == 0 else " >&2"
        reply = f"printf %s {shlex.quote(text)}{stream}; exit {code}"
        self._prepare(program, words, reply)

    def complains(self, program: str, words: str = "", *, name: str) -> None:
        """Let `program` print a recorded answer on standard error and succeed."""
        self._prepare(program, words, f"printf %s {shlex.quote(self.text(name))} >&2; exit 0")

    def _prepare(self, program: str, words: str, reply: str) -> None:
        self._answers.setdefault(program, []).insert(0, (words, reply))
        cases = "".join(
            f'case "$*" in *{shlex.quote(asked)}*) {answer};; esac\n'
            for asked, answer in self._answers[program]
        )
        path = self._folder / program
        log = shlex.quote(str(self._folder / "calls"))
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{log}\n{cases}exit 99\n')
        path.chmod(0o755)


@pytest.fixture
def system() -> str:
    """The batch system whose recordings are used."""
    raise NotImplementedError


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> Recorded:
    """Programs of that batch system, none prepared yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Recorded(folder, system)
