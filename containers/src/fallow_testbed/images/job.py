"""One build: what is put together in one staging directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from fallow.errors import FallowError
from fallow_testbed.images import debian, package, sif, wheels
from fallow_testbed.images.catalogue import PACKER, Catalogue
from fallow_testbed.images.definition import Python
from fallow_testbed.images.programs import ProgramError, Runner

_SYSTEM_PYTHON = "/usr/bin/python3"


class Job:
    """Fills `tree` in a staging directory and packs it where the definition says so.

    Args:
        catalogue: Where the other images are found.
        name: The image.
        staged: An empty directory.
        runner: Runs the programs.
        wait_for: Returns when the image of a name is built.
    """

    def __init__(
        self, catalogue: Catalogue, name: str, staged: Path, runner: Runner, wait_for: Callable[[str], None]
    ) -> None:
        self.catalogue = catalogue
        self.name = name
        self.definition = catalogue.definition(name)
        self.folder = catalogue.folder(name)
        self.staged = staged
        self.tree = staged / "tree"
        self.work = staged / "work"
        self.scratch = self.work / "scratch"
        self.runner = runner
        self.wait_for = wait_for

    def run(self) -> tuple[int, str]:
        """Build; nothing but the image stays in the staging directory.

        Returns:
            Its size in bytes and, of a SIF, its SHA-256.

        Raises:
            FallowError: A step failed.
        """
        try:
            for path in (self.tree, self.work, self.scratch):
                path.mkdir()
            self._assemble()
            sha256 = self._pack() if self.definition.sif else ""
            self._remove(self.work)
            return sum(path.lstat().st_size for path in _walk(self.staged)), sha256
        except ProgramError as error:
            last = (error.output.strip().splitlines() or ["it said nothing"])[-1]
            raise FallowError(
                f"The image {self.name} could not be built: {error.what} {last}",
                remedy=f"All of it is in {self.runner.log}.",
            ) from error

    def _assemble(self) -> None:
        definition = self.definition
        if definition.debian:
            work = self._empty("apt")
            debian.bootstrap(
                definition.debian, self.tree, definition=self.folder, work=work, runner=self.runner
            )
        if definition.package:
            package.take(definition.package, self.tree, work=self._empty("package"), runner=self.runner)
        if definition.base:
            self._copy(self.catalogue.built(definition.base).tree)
        if definition.programs:
            downloaded = self._empty("programs")
            pinned = self.catalogue.requirements(definition.programs)
            wheels.download(pinned, downloaded, version="3.13", runner=self.runner)
            wheels.extract_programs(downloaded, self.tree / "usr" / "local" / "bin")
        if definition.python:
            self._add_python(definition.python)
        if (self.folder / "files").is_dir():
            self._copy(self.folder / "files")
        if (self.folder / "finish.sh").exists():
            self.runner.run(["sh", str(self.folder / "finish.sh")], cwd=self.tree)

    def _add_python(self, python: Python) -> None:
        found, runner = self._empty("wheels"), self.runner
        pinned = self.catalogue.requirements(python.requirements) if python.requirements else None
        if pinned:
            wheels.download(pinned, found, version=python.version, runner=runner)
        names = [wheels.build(self.catalogue.checkout / part, found, runner=runner) for part in python.parts]
        self.wait_for(PACKER)
        packer = self.catalogue.layers(PACKER)
        beneath = self.definition.over or self.definition.base
        where = wheels.Place(
            layers=self.catalogue.layers(beneath) if beneath else packer,
            tree=self.tree,
            venv=python.venv,
            pip=packer[-1] / wheels.PIP_WHEELS,
            scratch=self.scratch,
            runner=runner,
        )
        if python.venv:
            wheels.make_venv(where, python=_SYSTEM_PYTHON)
        if pinned:
            wheels.install_pinned(where, pinned, found, python=python.interpreter)
            wheels.compile_tree(where, python=_SYSTEM_PYTHON)
        if names:
            wheels.install_parts(where, names, found, python=python.interpreter)
        if python.finish:
            where.run([python.interpreter, f"/build/tree{python.finish}", "/build/tree"])

    def _pack(self) -> str:
        self.wait_for(PACKER)
        target = self.staged / f"{self.name}.sif"
        packer = self.catalogue.layers(PACKER)
        sha256 = sif.pack(self.tree, target, packer=packer, scratch=self.scratch, runner=self.runner)
        self._remove(self.tree)
        return sha256

    def _copy(self, source: Path) -> None:
        self.runner.run(["cp", "-a", "--reflink=auto", f"{source}/.", str(self.tree)])

    def _remove(self, path: Path) -> None:
        self.runner.run(["rm", "-rf", "--one-file-system", "--", str(path)])

    def _empty(self, name: str) -> Path:
        path = self.work / name
        path.mkdir()
        return path


def _walk(root: Path) -> Iterable[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names)
