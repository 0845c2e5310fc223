"""The image cache: one directory per image and digest, there in whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError

_RECORD = "image.json"
_STAGING = ".building-"


@dataclass(frozen=True)
class Image:
    """A built image; its directory never changes once it is in the cache."""

    name: str
    digest: str
    """Digest of the definition: 64 hexadecimal digits."""
    path: Path
    kind: str
    """`tree` or `sif`."""
    bytes: int
    built: float
    """Unix time."""
    sha256: str = ""
    """Digest of the SIF file; empty for a tree."""

    @property
    def tree(self) -> Path:
        """Root of the files of a tree image."""
        return self.path / "tree"

    @property
    def sif(self) -> Path:
        """The SIF file of a SIF image."""
        return self.path / f"{self.name}.sif"


def cache_root() -> Path:
    """`$FALLOW_CACHE`, else `fallow` in the user's cache directory."""
    named = os.environ.get("FALLOW_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fallow"


class ImageCache:
    """Images under `<root>/images`. A name in there that does not begin with a dot is a whole image."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = root / "images"

    def path(self, name: str, digest: str) -> Path:
        """Directory of an image, whether it is there or not."""
        return self.images / f"{name}-{digest[:12]}"

    def log(self, name: str, digest: str) -> Path:
        """Where the programs of a build say what they do; kept, when it failed, until the next build of that image."""
        return self.root / "logs" / f"{name}-{digest[:12]}.log"

    def find(self, name: str, digest: str) -> Image | None:
        """Look an image up; None when it has not been built."""
        return _read(self.path(name, digest))

    def all(self) -> list[Image]:
        """Every image in the cache, by name and then age."""
        found = [_read(path) for path in self.images.glob("[!.]*")] if self.images.is_dir() else []
        return sorted((image for image in found if image), key=lambda image: (image.name, image.built))

    @contextmanager
    def lock(self, name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold an image for building or removing, after clearing what an interrupted build of it left.

        Args:
            name: The image, whatever its digest.
            on_wait: Called once when another process holds it.

        Raises:
            NotAvailableError: The cache cannot be written.
        """
        try:
            self.images.mkdir(parents=True, exist_ok=True)
            (self.root / "logs").mkdir(exist_ok=True)
            handle = os.open(self.images / f".lock-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotAvailableError(
                f"The image cache {self.images} cannot be written: {error.strerror}.",
                remedy="Mend that, or set FALLOW_CACHE to another directory.",
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            for left in self.images.glob(f"{_STAGING}{name}.*"):
                remove_tree(left)
            for log in (self.root / "logs").glob(f"{name}-{'?' * 12}.log"):
                log.unlink()
            yield
        finally:
            os.close(handle)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A directory beside the images to build one in; gone afterwards unless it was published."""
        path = Path(tempfile.mkdtemp(prefix=f"{_STAGING}{name}.", dir=self.images))
        try:
            path.chmod(0o755)
            yield path
        finally:
            if path.exists():
                remove_tree(path)

    def publish(
        self, staged: Path, name: str, digest: str, *, kind: str, size: int, sha256: str = ""
    ) -> Image:
        """Put a finished staging directory in its place, atomically."""
        target = self.path(name, digest)
        image = Image(name, digest, target, kind, size, time.time(), sha256)
        record = {key: value for key, value in asdict(image).items() if key != "path"}
        (staged / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
        staged.rename(target)
        return image

    def remove(self, image: Image) -> None:
        """Remove an image; the caller holds its lock. Half-removed images are never seen."""
        doomed = self.images / f"{_STAGING}{image.name}.removed-{image.digest[:12]}"
        image.path.rename(doomed)
        remove_tree(doomed)

    def require_space(self, needed_mb: int, purpose: str) -> None:
        """Check the free space before a build is begun.

        Raises:
            FallowError: There is less than `needed_mb`.
        """
        free_mb = shutil.disk_usage(self.images).free // 2**20
        if free_mb < needed_mb:
            raise FallowError(
                f"The disk of {self.images} has {free_mb} MB free and {purpose} needs {needed_mb} MB.",
                remedy="Make space, run `fallow testbed images prune`, or set FALLOW_CACHE to a larger disk.",
            )


def _read(path: Path) -> Image | None:
    try:
        record = json.loads((path / _RECORD).read_text())
        return Image(path=path, **record)
    except (OSError, ValueError, TypeError):
        return None


def remove_tree(path: Path) -> None:
    """Remove a directory without ever leaving its file system, whatever may be mounted below it."""
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(path)], check=False, capture_output=True)
    if path.exists():
        raise FallowError(
            f"{path}, left by an interrupted build, cannot be removed.",
            remedy="See what is mounted below it or uses it, end that, and try again.",
        )
