"""Files out of one Debian package, without installing it."""

from __future__ import annotations

import contextlib
import gzip
import shutil
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.images.definition import Package
from fallow_testbed.images.programs import ProgramError, Runner, require_programs


def take(package: Package, tree: Path, *, work: Path, runner: Runner) -> None:
    """Download a package and put the files that are wanted of it into a directory.

    Args:
        package: The package and its files.
        tree: Directory that gets the files.
        work: An empty directory for what is not kept.
        runner: Runs the programs.

    Raises:
        NotAvailableError: The package cannot be downloaded.
        FallowError: It has no such file.
    """
    require_programs("apt-get", "dpkg-deb")
    _download(package.name, work, runner)
    unpacked = work / "unpacked"
    runner.run(["dpkg-deb", "--extract", str(next(work.glob("*.deb"))), str(unpacked)])
    for source, target in package.files.items():
        if not (unpacked / source).is_file():
            raise FallowError(f"The Debian package {package.name} has no file {source}.")
        _place(unpacked / source, tree / target)


def _download(name: str, work: Path, runner: Runner) -> None:
    argv = ["apt-get", "--option", "APT::Sandbox::User=root", "download", name]
    with contextlib.suppress(ProgramError):
        runner.run(argv, cwd=work)
        return
    # A new machine has no package lists yet: read them, but leave the machine as it is.
    lists, cache = work / "lists", work / "cache"
    for path in (lists / "partial", cache / "archives" / "partial"):
        path.mkdir(parents=True)
    own = ["--option", f"Dir::State::Lists={lists}", "--option", f"Dir::Cache={cache}"]
    own += ["--option", "APT::Update::Post-Invoke-Success="]
    try:
        runner.run([argv[0], *own, *argv[1:-2], "update"], cwd=work)
        runner.run([argv[0], *own, *argv[1:]], cwd=work)
    except ProgramError as error:
        said = [line[3:] for line in error.output.splitlines() if line.startswith("E: ")]
        raise NotAvailableError(
            f"The Debian package {name} cannot be downloaded: {(said or ['apt gave no reason'])[0].rstrip('.')}.",
            remedy="Check the network and apt's configuration, then run the command again.",
        ) from error


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".gz" and target.suffix != ".gz":
        with gzip.open(source) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    else:
        shutil.copyfile(source, target)
