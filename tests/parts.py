"""Installs each part's wheel alone, with what it declares, in an environment of its own and runs its tests there.

Usage: python tests/parts.py [PART …]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
PINS = ROOT / "requirements" / "constraints.txt"


@dataclass(frozen=True)
class Part:
    """One part: its folder, the tests that belong to it."""

    folder: str
    tests: str
    instead: str = ""
    """A requirement that is used in place of the pinned one: an older release that the part promises to work with."""

    @property
    def distribution(self) -> str:
        """The name under which the part is installed."""
        with (ROOT / self.folder / "pyproject.toml").open("rb") as stream:
            return str(tomllib.load(stream)["project"]["name"])


PARTS = [
    Part("federation", "tests/federation", instead="urllib3==1.26.20"),  # what boto3 wants on Python 3.9
    Part("pilots", "tests/pilots"),
    Part("matcher", "tests/matcher"),
    Part("snakemake_executor", "tests/snakemake_executor"),
    Part("containers/issuer", "tests/issuer"),
    Part("containers", "tests/containers"),
]


def run(*argv: str | Path) -> str:
    """Run a command; what it said. Ends with its exit code when it fails."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=ROOT,
        env=environment(),
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        raise PartError(done.returncode, done.stdout)
    return done.stdout


class PartError(Exception):
    """A command failed; its exit code and what it said."""


def alone(part: Part, ours: Path) -> str:
    """Install a part in an environment of its own and run its tests there; what pytest said."""
    python = BUILD / "parts" / part.folder.replace("/", "-") / "bin" / "python"
    run("uv", "venv", "-q", "--clear", "--python", sys.executable, python.parents[1])
    wanted = f"{part.distribution}[test]"
    pins = python.parents[1] / "pins.txt"
    pinned = [
        line
        for line in PINS.read_text().splitlines()
        if line.partition("=")[0] != part.instead.partition("=")[0]
    ]
    pins.write_text("\n".join([*pinned, part.instead, ""]))
    run("uv", "pip", "install", "-q", "--python", python, "-c", ours, "-c", pins, wanted)
    return run(python, "-m", "pytest", "-q", part.tests)


def promised(ours: Path) -> None:
    """See that what runs at centres can be had there: their nodes may have no newer Python than 3.9."""
    wanted = BUILD / "node.txt"
    wanted.write_text("fallow-pilots\n")
    run("uv", "pip", "compile", "-q", "--python-version", "3.9", "-c", ours, wanted)


@cache
def environment() -> dict[str, str]:
    """The environment of the commands: uv asks the package index that the machine's pip is set to."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = subprocess.run(asked, text=True, capture_output=True, check=False).stdout.strip()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = {**os.environ, "PATH": path, "UV_NATIVE_TLS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**found, "UV_DEFAULT_INDEX": index} if index else found


def main() -> None:
    """Build all wheels, then test each part that is named (all, when none is)."""
    wheels = BUILD / "wheels"
    for old in wheels.glob("*.whl"):
        old.unlink()
    for part in PARTS:
        run(
            "uv",
            "build",
            "-q",
            "--wheel",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "-o",
            wheels,
            ROOT / part.folder,
        )
    # By path: neither a namesake in the index nor an older wheel in uv's cache is taken for one of ours.
    ours = BUILD / "ours.txt"
    ours.write_text(
        "".join(f"{wheel.name.split('-')[0]} @ {wheel.as_uri()}\n" for wheel in wheels.glob("*.whl"))
    )
    promised(ours)
    wanted = [part for part in PARTS if not sys.argv[1:] or part.folder in sys.argv[1:]]
    failed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:  # they share nothing but the wheels
        tests = {part.distribution: pool.submit(alone, part, ours) for part in wanted}
        for name, test in tests.items():
            try:
                said = test.result()
            except PartError as error:
                failed, said = error.args
            print(f"== {name} alone\n{said}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
