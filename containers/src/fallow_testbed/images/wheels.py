"""Python packages for images: downloaded by the machine's pip, installed inside without a network."""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images.programs import ProgramError, clean_environment, inside, run

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


def download(requirements: Path, into: Path, *, version: str, log: Path) -> None:
    """Download what a pinned file lists, with the machine's own pip settings.

    Args:
        requirements: Every package with its version and hashes.
        into: Directory that gets the files.
        version: Python version that they are for, as in `3.13`.
        log: File that gets pip's output.

    Raises:
        NotAvailableError: The package index does not answer.
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
    _pip(argv, log, f"The packages of {requirements.name} could not be downloaded")


def build(part: Path, into: Path, *, log: Path) -> None:
    """Build the wheel of one part of this project."""
    try:
        run(
            [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)],
            log=log,
            cwd=part,
        )
    except ProgramError as error:
        raise FallowError(
            f"The wheel of {part.name} could not be built: {_last(error.output)}.",
            remedy=f"All of it is in {log}.",
        ) from error


def make_venv(
    layers: Sequence[Path], tree: Path, venv: str, *, python: str, scratch: Path, log: Path
) -> None:
    """Create an empty virtual environment at the path `venv` of a tree that will lie over `layers`."""
    outside = tree / venv.lstrip("/")
    outside.mkdir(parents=True)
    argv = [python, "-m", "venv", "--without-pip", venv]
    run(inside(layers, argv, scratch=scratch, binds={venv: outside}), log=log, env=clean_environment())


def install(
    layers: Sequence[Path],
    tree: Path,
    *,
    python: str,
    venv: str,
    wheels: Path,
    pip: Path,
    requirements: Sequence[Path],
    names: Sequence[str],
    scratch: Path,
    log: Path,
) -> None:
    """Install downloaded and built wheels into a tree.

    Args:
        layers: Where pip runs; what is installed there counts as there.
        tree: Root directory that gets the files.
        python: Interpreter, as a path inside.
        venv: The virtual environment that was created in the tree; empty for none.
        wheels: Directory of everything that may be installed.
        pip: Directory with Debian's wheels of pip and setuptools.
        requirements: Pinned files.
        names: Files among `wheels` to install beyond those, with their dependencies checked.
        scratch: An empty directory.
        log: File that gets the output.

    Raises:
        FallowError: A dependency is not in the pinned files.
    """
    tool = next(path.name for path in sorted(pip.glob("pip-*.whl")))
    base = [python, f"/build/pip/{tool}/pip", "install", "--no-index", "--no-compile"]
    base += ["--find-links", "/build/wheels", "--find-links", "/build/pip", "--no-warn-script-location"]
    base += ["--root-user-action=ignore", "--disable-pip-version-check", "--quiet"]
    binds = {"/build/wheels": wheels, "/build/pip": pip}
    if venv:
        binds[venv] = tree / venv.lstrip("/")
    else:
        base += ["--root", "/build/tree"]
        binds["/build/tree"] = tree
    for path in requirements:
        shutil.copy(path, wheels)
        argv = [
            *base,
            "--no-deps",
            "--ignore-installed",
            "--require-hashes",
            "--requirement",
            f"/build/wheels/{path.name}",
        ]
        _pip(
            inside(layers, argv, scratch=scratch, binds=binds),
            log,
            f"{path.name} could not be installed",
            clean=True,
        )
    if names:
        argv = [*base, *(f"/build/wheels/{name}" for name in names)]
        what = "The wheels of this project do not fit the pinned packages"
        _pip(inside(layers, argv, scratch=scratch, binds=binds), log, what, clean=True)


def compile_tree(layers: Sequence[Path], tree: Path, *, python: str, scratch: Path, log: Path) -> None:
    """Compile the Python files of a tree; they are never compared with the source: images are read-only."""
    found = [
        path
        for pattern in ("usr/lib/python3*", "usr/local/lib/python3*", "opt/*")
        for path in tree.glob(pattern)
    ]
    folders = [str(path.relative_to(tree)) for path in found if path.is_dir()]
    argv = [python, "-m", "compileall", "-q", "-f", "-j", "2", "--invalidation-mode", "unchecked-hash"]
    argv += ["-s", "/build/tree", "-p", "/", *(f"/build/tree/{folder}" for folder in folders)]
    # Some packages carry files for other Python versions, which do not compile and are never imported.
    with contextlib.suppress(ProgramError):
        run(
            inside(layers, argv, scratch=scratch, binds={"/build/tree": tree}),
            log=log,
            env=clean_environment(),
        )


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


def _pip(argv: Sequence[str], log: Path, what: str, *, clean: bool = False) -> None:
    try:
        run(argv, log=log, env=clean_environment() if clean else None)
    except ProgramError as error:
        if _UNREACHABLE.search(error.output):
            raise NotAvailableError(
                "The Python package index does not answer.",
                remedy="Check the network and pip's configuration, then try again.",
            ) from error
        raise FallowError(
            f"{what}: {_last(error.output)}.", remedy=f"All that pip said is in {log}."
        ) from error


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it said nothing"])[-1].rstrip(".")
