"""Builds images side by side, each as soon as what it needs is there; what the cache has is not built again."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from fallow.errors import FallowError
from fallow_testbed.images.cache import Image, ImageCache
from fallow_testbed.images.catalogue import Catalogue
from fallow_testbed.images.job import Job
from fallow_testbed.images.programs import Runner, require_programs, require_root
from fallow_testbed.progress import Progress


class Builder:
    """Makes sure that images are in the cache."""

    def __init__(self, checkout: Path, cache: ImageCache, progress: Progress) -> None:
        self.catalogue = Catalogue(checkout, cache)
        self.cache = cache
        self.progress = progress

    def ensure(self, names: Iterable[str]) -> dict[str, Image]:
        """Build what is missing of some images and of what they need.

        Raises:
            NotAvailableError: Root, a program or the network is missing.
            FallowError: A build failed; nothing half-built is left.
        """
        names = list(names)
        missing = self.catalogue.missing(names)
        if missing:
            require_root("Building images")
            require_programs("unshare", "setpriv")
            self._build_all(missing)
        return {name: self.catalogue.built(name) for name in names}

    def _build_all(self, names: Sequence[str]) -> None:
        builds: dict[str, Future[None]] = {}
        runners = {name: Runner(self.cache.log(name, self.catalogue.digest(name))) for name in names}
        with ThreadPoolExecutor(len(names)) as pool:
            try:
                for name in names:
                    builds[name] = pool.submit(self._build, name, runners[name], builds)
                for done in as_completed(builds.values()):
                    done.result()
            except BaseException:
                for runner in runners.values():
                    runner.stop()
                raise

    def _build(self, name: str, runner: Runner, builds: dict[str, Future[None]]) -> None:
        definition, digest = self.catalogue.definition(name), self.catalogue.digest(name)

        def wait_for(other: str) -> None:
            if other in builds:
                builds[other].result()

        for other in filter(None, (definition.base, definition.over)):
            wait_for(other)

        def say() -> None:
            self.progress.note(f"image {name}: waiting for another process that builds it")

        with self.cache.lock(name, say):
            if self.catalogue.find(name):
                return
            self.cache.require_space(definition.disk_mb, f"the image {name}")
            try:
                with (
                    self.cache.staging(name) as staged,
                    self.progress.step(f"image {name}: {definition.summary}"),
                ):
                    size, sha256 = Job(self.catalogue, name, staged, runner, wait_for).run()
                    kind = "sif" if definition.sif else "tree"
                    self.cache.publish(staged, name, digest, kind=kind, size=size, sha256=sha256)
            except OSError as error:
                raise FallowError(
                    f"The image {name} could not be built: {error.strerror} ({error.filename}).",
                    remedy="Make space and try again." if error.errno == errno.ENOSPC else "",
                ) from error
            runner.log.unlink(missing_ok=True)
