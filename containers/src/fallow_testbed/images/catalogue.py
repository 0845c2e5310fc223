"""The images that one source tree defines: their digests, what they build on, and which the cache has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fallow.errors import UsageError
from fallow_testbed.images.cache import Image, ImageCache
from fallow_testbed.images.checkout import sources_of
from fallow_testbed.images.definition import Definition, digest_of, read_definitions

PACKER = "rootfs"
"""The image with pip and Apptainer, in which the others are put together."""


class Catalogue:
    """Definitions beside a cache; each digest is taken once, when it is first asked for."""

    def __init__(self, checkout: Path, cache: ImageCache) -> None:
        self.checkout = checkout
        self.cache = cache
        self.definitions = read_definitions(checkout / "containers" / "images")
        self._digests: dict[str, str] = {}

    def definition(self, name: str) -> Definition:
        """One definition.

        Raises:
            UsageError: There is no such image.
        """
        if name not in self.definitions:
            raise UsageError(
                f"There is no image {name!r}.", remedy=f"There are {', '.join(self.definitions)}."
            )
        return self.definitions[name]

    def folder(self, name: str) -> Path:
        """Where the definition of an image lies."""
        return self.checkout / "containers" / "images" / name

    def requirements(self, file: str) -> Path:
        """A file of pinned Python packages."""
        return self.checkout / "requirements" / file

    def digest(self, name: str) -> str:
        """Digest of everything that decides what an image contains: 64 hexadecimal digits."""
        if name not in self._digests:
            definition = self.definition(name)
            folders, files = [self.folder(name)], []
            for file in (definition.programs, definition.python.requirements if definition.python else ""):
                files += [self.requirements(file)] if file else []
            for part in definition.python.parts if definition.python else ():
                for source in sources_of(self.checkout / part):
                    (folders if source.is_dir() else files).append(source)
            beneath = {other: self.digest(other) for other in (definition.base, definition.over) if other}
            self._digests[name] = digest_of(folders, files, beneath)
        return self._digests[name]

    def find(self, name: str) -> Image | None:
        """The image as it would be built now, if the cache has it."""
        return self.cache.find(name, self.digest(name))

    def built(self, name: str) -> Image:
        """The image as it would be built now.

        Raises:
            UsageError: The cache does not have it.
        """
        image = self.find(name)
        if image is None:
            raise UsageError(f"The image {name} is not built.", remedy="Run `fallow testbed images build`.")
        return image

    def layers(self, name: str) -> tuple[Path, ...]:
        """Directories that make up a tree image that is built, the top one first."""
        beneath = self.definition(name).over
        return (self.built(name).tree, *(self.layers(beneath) if beneath else ()))

    def missing(self, names: Iterable[str]) -> list[str]:
        """What must be built so that some images can be used, each after what it needs."""
        order: list[str] = []
        for name in names:
            definition, found = self.definition(name), self.find(name)
            tool = PACKER if definition.python or definition.sif else ""
            needs = [definition.over] if found else [definition.base, definition.over, tool]
            for other in [*self.missing(filter(None, needs)), *([] if found else [name])]:
                if other not in order:
                    order.append(other)
        return order
