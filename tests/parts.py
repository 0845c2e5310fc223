"""Installs each part's wheel alone, with what it declares, in an environment of its own and runs its tests there.

Usage: python tests/parts.py [PART …]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
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

    @property
    def distribution(self) -> str:
        """The name under which the part is installed."""
        with (ROOT / self.folder / "pyproject.toml").open("rb") as stream:
            return str(tomllib.load(stream)["project"]["name"])


PARTS = [
    Part("federation", "tests/federation"),
    Part("pilots", "tests/pilots"),
    Part("matcher", "tests/matcher"),
    Part("snakemake_executor", "tests/snakemake_executor"),
    Part("containers/issuer", "tests/issuer"),
    Part("containers", "tests/containers"),
]


def run(*argv: str | Path) -> None:
    """Run a command; end with its exit code when it fails."""
    done = subprocess.run([str(word) for word in argv], cwd=ROOT, env=environment(), check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


@cache
def environment() -> dict[str, str]:
    """The environment of the commands: uv asks the package index that the machine's pip is set to."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = subprocess.run(asked, text=True, capture_output=True, check=False).stdout.strip()
    found = {**os.environ, "UV_NATIVE_TLS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**found, "UV_DEFAULT_INDEX": index} if index else found


def main() -> None:
    """Build all wheels, then test each part that is named (all, when none is)."""
    wheels = BUILD / "wheels"
    for old in wheels.glob("*.whl"):
        old.unlink()
    uv = Path(sys.executable).with_name("uv")
    for part in PARTS:
        run(
            uv,
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
    for part in PARTS:
        if sys.argv[1:] and part.folder not in sys.argv[1:]:
            continue
        print(f"== {part.distribution} alone", flush=True)
        python = BUILD / "parts" / part.folder.replace("/", "-") / "bin" / "python"
        run(uv, "venv", "-q", "--clear", "--python", sys.executable, python.parents[1])
        wanted = f"{part.distribution}[test]"
        run(uv, "pip", "install", "-q", "--python", python, "-c", ours, "-c", PINS, wanted)
        run(python, "-m", "pytest", "-q", part.tests)


if __name__ == "__main__":
    main()
