"""Pages of the documentation whose commands are run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.integration.test_demo import commands

from fallow_testbed.testbed import Testbed

ROOT = Path(__file__).resolve().parents[2]


class Said(NamedTuple):
    """A command of a page, and what it said."""

    command: str
    stdout: str
    stderr: str


def run_page(page: Path, bed: Testbed, timeout_s: float) -> Iterator[Said]:
    """Run every command of a page, in order; the page means the demo's testbed, here it is the given one."""
    env = {**os.environ, "FALLOW_TESTBEDS": str(bed.directory.parent)}
    for command in commands(page):
        here = command.replace("testbed exec", f"testbed exec --name {bed.directory.name}")
        done = subprocess.run(
            ["bash", "-c", here], cwd=ROOT, env=env, text=True, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        yield Said(command, done.stdout, done.stderr)


def one(said: Mapping[str, str], end: str) -> str:
    """What the one command with this end said."""
    [text] = [text for command, text in said.items() if command.endswith(end)]
    return text
