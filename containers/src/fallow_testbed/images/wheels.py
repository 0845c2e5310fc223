"""Python packages for images: downloaded by the machine's pip, installed inside without a network."""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images.programs import ProgramError, Runner, clean_environment, inside

PIP_WHEELS = "usr/share/python-wheels"
"""Where Debian keeps pip and setuptools as wheels, relative to a root."""

_OLDEST_GLIBC, _NEWEST_GLIBC = 5, 41
_UNREACHABLE = re.compile(
    r"Failed to establish|Temporary failure|Could not fetch URL|Connection to .* (timed out|refused)|"
    r"Max retries"
)


def platforms() -> list[str]:
    """Wheel platforms that run on Debian 13; pip does not expand them by itself."""
    machine = platform.machine()
    modern = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    return [*modern, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]


def download(requirements: Path, into: Path, *, version: str, runner: Runner) -> None:
    """Download what a pinned file lists, with the machine's own pip settings.

    Args:
        requirements: Every package with its version and hashes.
        into: Directory that gets the files.
        version: Python version that they are for, as in `3.13`.
        runner: Runs pip.

    Raises:
        NotAvailableError: The package index does not answer, or this Python has no pip.
        FallowError: A package or hash does not fit.
    """
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-input",
        "--progress-bar=off",
        "--no-deps",
        "--require-hashes",
    ]
    argv += ["--python-version", version, "--implementation", "cp"]
    argv += [f"--platform={name}" for name in platforms()]
    argv += ["--dest", str(into), "--requirement", str(requirements)]
    try:
        runner.run(argv)
    except ProgramError as error:
        failure = f"The packages of {requirements.name} could not be downloaded"
        raise _explain(error, failure, runner.log) from error


def build(part: Path, into: Path, *, runner: Runner) -> str:
    """Build the wheel of one part of this project; returns its file name."""
    before = set(into.iterdir())
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    try:
        runner.run(argv, cwd=part)
    except ProgramError as error:
        raise FallowError(
            f"The wheel of {part.name} could not be built: {_last(error.output)}.",
            remedy=f"All of it is in {runner.log}.",
        ) from error
    return (set(into.iterdir()) - before).pop().name


@dataclass(frozen=True)
class Place:
    """Where packages are installed, and from inside of what.

    Args:
        layers: Root file system in which pip runs, the top directory first; what is installed there counts as there.
        tree: Root directory that gets the files.
        venv: Virtual environment in the tree, as a path inside; empty for none.
        pip: Directory with Debian's wheels of pip and setuptools.
        scratch: An empty directory.
        runner: Runs the programs.
    """

    layers: Sequence[Path]
    tree: Path
    venv: str
    pip: Path
    scratch: Path
    runner: Runner

    def run(self, argv: Sequence[str], binds: Mapping[str, Path] | None = None) -> None:
        """Run a program inside, without a network; the tree is seen as `/build/tree`, its environment in its place."""
        seen = {"/build/tree": self.tree, **(binds or {})}
        if self.venv:
            seen[self.venv] = self.tree / self.venv.lstrip("/")
        line = inside(self.layers, argv, scratch=self.scratch, binds=seen)
        self.runner.run(line, env=clean_environment())


def make_venv(place: Place, *, python: str) -> None:
    """Create the virtual environment of a place, empty."""
    (place.tree / place.venv.lstrip("/")).mkdir(parents=True)
    place.run([python, "-m", "venv", "--without-pip", place.venv])


def install_pinned(place: Place, pinned: Path, wheels: Path, *, python: str) -> None:
    """Install what a pinned file lists, from downloaded files, for the interpreter `python` inside.

    Raises:
        FallowError: A file is missing or has another hash.
    """
    shutil.copy(pinned, wheels)
    argv = ["--no-deps", "--ignore-installed", "--no-compile", "--require-hashes"]
    argv += ["--requirement", f"/build/wheels/{pinned.name}"]
    _install(place, argv, wheels, python, f"{pinned.name} could not be installed")


def install_parts(place: Place, names: Sequence[str], wheels: Path, *, python: str) -> None:
    """Install wheels of this project, for the interpreter `python` inside.

    Raises:
        FallowError: They need a package that is not installed inside.
    """
    what = "The parts of this project need what the pinned packages do not have (`make lock` renews those)"
    _install(place, [f"/build/wheels/{name}" for name in names], wheels, python, what)


def compile_tree(place: Place, *, python: str) -> None:
    """Compile the packages of a tree; they are never compared with the source: images are read-only."""
    patterns = ("usr/local/lib/python3*", "opt/*")
    folders = [path for pattern in patterns for path in place.tree.glob(pattern) if path.is_dir()]
    argv = [python, "-m", "compileall", "-q", "-f", "-j", "2", "--invalidation-mode", "unchecked-hash"]
    argv += ["-s", "/build/tree", "-p", "/"]
    # Some packages carry files for other Python versions, which do not compile and are never imported.
    with contextlib.suppress(ProgramError):
        place.run([*argv, *(f"/build/tree/{path.relative_to(place.tree)}" for path in folders)])


def extract_programs(wheels: Path, into: Path) -> None:
    """Put the programs that wheels carry into a directory."""
    into.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if member.is_dir() or Path(member.filename).parent.name != "scripts":
                    continue
                target = into / Path(member.filename).name
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                target.chmod(0o755)


def _install(place: Place, what: Sequence[str], wheels: Path, python: str, failure: str) -> None:
    tool = next(path.name for path in sorted(place.pip.glob("pip-*.whl")))
    argv = [python, f"/build/pip/{tool}/pip", "install", "--quiet", "--no-index"]
    argv += ["--find-links", "/build/wheels", "--find-links", "/build/pip", "--no-warn-script-location"]
    argv += ["--root-user-action=ignore", "--disable-pip-version-check"]
    argv += [] if place.venv else ["--root", "/build/tree"]
    try:
        place.run([*argv, *what], {"/build/wheels": wheels, "/build/pip": place.pip})
    except ProgramError as error:
        raise _explain(error, failure, place.runner.log) from error


def _explain(error: ProgramError, failure: str, log: Path) -> FallowError:
    if "No module named pip" in error.output:
        return NotAvailableError(
            f"{sys.executable} has no pip.", remedy="Run it with `-m ensurepip`, then try again."
        )
    if _UNREACHABLE.search(error.output):
        return NotAvailableError(
            "The Python package index does not answer.",
            remedy="Check the network and pip's configuration, then try again.",
        )
    return FallowError(f"{failure}: {_last(error.output)}.", remedy=f"All that pip said is in {log}.")


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")
