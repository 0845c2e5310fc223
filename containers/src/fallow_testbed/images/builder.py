"""Builds images in the order of their needs; what the cache has is not built again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fallow.errors import UsageError
from fallow_testbed.images import debian, sif, wheels
from fallow_testbed.images.cache import Image, ImageCache
from fallow_testbed.images.checkout import sources_of
from fallow_testbed.images.definition import Definition, Python, digest_of, read_definitions
from fallow_testbed.images.programs import require_programs, require_root, run
from fallow_testbed.progress import Progress

PACKER = "rootfs"
"""The image with pip and Apptainer, in which the others are put together."""


class Builder:
    """The images that one source tree defines, in one cache; each digest is taken when first asked for."""

    def __init__(self, checkout: Path, cache: ImageCache, progress: Progress) -> None:
        self.checkout = checkout
        self.cache = cache
        self.progress = progress
        self.definitions = read_definitions(checkout / "containers" / "images")
        self._digests: dict[str, str] = {}

    def digest(self, name: str) -> str:
        """Digest of everything that decides what an image contains.

        Raises:
            UsageError: There is no such image.
        """
        if name in self._digests:
            return self._digests[name]
        definition = self._definition(name)
        folders = [self.checkout / "containers" / "images" / name]
        files = [self._requirements(file) for file in _requirement_files(definition)]
        for part in definition.python.parts if definition.python else []:
            for source in sources_of(self.checkout / part):
                (folders if source.is_dir() else files).append(source)
        beneath = {other: self.digest(other) for other in self._needs(name)}
        return self._digests.setdefault(name, digest_of(folders, files, beneath))

    def find(self, name: str) -> Image | None:
        """The image as it would be built now, if the cache has it."""
        return self.cache.find(name, self.digest(name))

    def layers(self, name: str) -> tuple[Path, ...]:
        """Directories that make up a tree image that is built, the top one first."""
        image = self.find(name)
        if image is None:
            raise UsageError(f"The image {name} is not built.", remedy="Run `fallow testbed images build`.")
        beneath = self._definition(name).over
        return (image.tree, *(self.layers(beneath) if beneath else ()))

    def ensure(self, names: Iterable[str]) -> dict[str, Image]:
        """Build what is missing of some images and of what they need.

        Raises:
            NotAvailableError: Root, a program or the network is missing.
            FallowError: A build failed; nothing half-built is left.
        """
        names = list(names)
        wanted = self._in_order(names)
        found = {name: self.find(name) for name in wanted}
        if not all(found.values()):
            require_root("Building images")
            require_programs("unshare", "setpriv")
            with self.cache.lock(lambda: self.progress.note("waiting for another build of images to end")):
                for name in wanted:
                    found[name] = self.find(name) or self._build(name)
        return {name: image for name in names if (image := found[name])}

    def _build(self, name: str) -> Image:
        definition, digest = self._definition(name), self.digest(name)
        self.cache.require_space(definition.disk_mb, f"the image {name}")
        log = self.cache.log(name, digest)
        with self.cache.staging(name) as staged, self.progress.step(f"image {name}: {definition.summary}"):
            job = _Job(self, name, definition, staged, log)
            job.assemble()
            sha256 = job.pack() if definition.sif else ""
            size = job.clear()
            log.unlink(missing_ok=True)
            kind = "sif" if definition.sif else "tree"
            return self.cache.publish(staged, name, digest, kind=kind, size=size, sha256=sha256)

    def _definition(self, name: str) -> Definition:
        if name not in self.definitions:
            raise UsageError(
                f"There is no image {name!r}.", remedy=f"There are {', '.join(self.definitions)}."
            )
        return self.definitions[name]

    def _needs(self, name: str) -> list[str]:
        definition = self._definition(name)
        tool = PACKER if definition.python or definition.sif else ""
        return [other for other in (definition.base, definition.over, tool) if other]

    def _in_order(self, names: Iterable[str]) -> list[str]:
        order: list[str] = []
        for name in names:
            for other in [*self._in_order(self._needs(name)), name]:
                if other not in order:
                    order.append(other)
        return order

    def _requirements(self, file: str) -> Path:
        return self.checkout / "requirements" / file


class _Job:
    """One build: what is put together in one staging directory."""

    def __init__(self, builder: Builder, name: str, definition: Definition, staged: Path, log: Path) -> None:
        self.builder = builder
        self.name = name
        self.definition = definition
        self.folder = builder.checkout / "containers" / "images" / name
        self.staged = staged
        self.tree = staged / "tree"
        self.work = staged / "work"
        self.scratch = self.work / "scratch"
        self.log = log
        for path in (self.tree, self.work, self.scratch):
            path.mkdir()

    def assemble(self) -> None:
        """Fill the tree."""
        definition = self.definition
        if definition.debian:
            debian.bootstrap(
                definition.debian, self.tree, definition=self.folder, work=self._empty("apt"), log=self.log
            )
        if definition.base:
            self._copy(self.builder.layers(definition.base)[0])
        if definition.programs:
            downloaded = self._empty("programs")
            requirements = self.builder.checkout / "requirements" / definition.programs
            wheels.download(requirements, downloaded, version="3.13", log=self.log)
            wheels.extract_programs(downloaded, self.tree / "usr" / "local" / "bin")
        if definition.python:
            self._add_python(definition.python)
        if (self.folder / "files").is_dir():
            self._copy(self.folder / "files")
        if (self.folder / "finish.sh").exists():
            run(["sh", str(self.folder / "finish.sh")], log=self.log, cwd=self.tree)

    def pack(self) -> str:
        """Turn the tree into a SIF file; returns its SHA-256."""
        target = self.staged / f"{self.name}.sif"
        packer = self.builder.layers(PACKER)
        sha256 = sif.pack(self.tree, target, packer=packer, scratch=self.scratch, log=self.log)
        self._remove(self.tree)
        return sha256

    def clear(self) -> int:
        """Remove what was only needed for building; returns the size of the rest in bytes."""
        self._remove(self.work)
        return sum(entry.lstat().st_size for entry in _walk(self.staged))

    def _add_python(self, python: Python) -> None:
        builder, definition = self.builder, self.definition
        packer = builder.layers(PACKER)
        layers = builder.layers(definition.over or definition.base) if not definition.debian else packer
        found, scratch = self._empty("wheels"), self.scratch
        requirements = (
            [builder.checkout / "requirements" / python.requirements] if python.requirements else []
        )
        for path in requirements:
            wheels.download(path, found, version=python.version, log=self.log)
        before = set(found.iterdir())
        for part in python.parts:
            wheels.build(builder.checkout / part, found, log=self.log)
        names = sorted(path.name for path in set(found.iterdir()) - before)
        if python.venv:
            wheels.make_venv(
                layers, self.tree, python.venv, python="/usr/bin/python3", scratch=scratch, log=self.log
            )
        wheels.install(
            layers,
            self.tree,
            python=python.interpreter,
            venv=python.venv,
            wheels=found,
            pip=packer[-1] / wheels.PIP_WHEELS,
            requirements=requirements,
            names=names,
            scratch=scratch,
            log=self.log,
        )
        if requirements:
            wheels.compile_tree(packer, self.tree, python="/usr/bin/python3", scratch=scratch, log=self.log)

    def _copy(self, source: Path) -> None:
        run(["cp", "-a", "--reflink=auto", f"{source}/.", str(self.tree)], log=self.log)

    def _remove(self, path: Path) -> None:
        run(["rm", "-rf", "--one-file-system", "--", str(path)], log=self.log)

    def _empty(self, name: str) -> Path:
        path = self.work / name
        path.mkdir()
        return path


def _requirement_files(definition: Definition) -> list[str]:
    named = definition.python.requirements if definition.python else ""
    return [file for file in (definition.programs, named) if file]


def _walk(root: Path) -> Iterable[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names)
