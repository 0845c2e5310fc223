"""Makes a SIF of whatever an image may be made from, by Apptainer."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import NotAvailableError, UsageError
from fallow.files import sha256_of
from fallow.images.tree import tree_digest

log = logging.getLogger(__name__)

SCHEMES = ("docker", "oras", "oci", "oci-archive", "docker-archive")
"""What may stand before `:` in a source, by Apptainer's names; the last three are files and directories."""
_URI = re.compile(
    r"(docker|oras)://([a-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/)?[a-z0-9][A-Za-z0-9._/-]*([:@][A-Za-z0-9._:-]+)?"
)
_LOCAL = re.compile(r"(oci|oci-archive|docker-archive):(?!//)([^\0\n]+)")
SIF_MAGIC = b"SIF_MAGIC"
_MAGIC_AT = 32
"""Where it stands in a SIF, after the launch line; see github.com/apptainer/sif, `pkg/sif/sif.go`."""


@dataclass(frozen=True)
class Source:
    """What an image is made from: `apptainer` is its name for Apptainer, `shown` what others are told."""

    apptainer: str
    shown: str
    is_sif: bool = False


def source_of(text: str) -> Source:
    """What `text` names: a SIF, a definition, a directory, or an image of a registry, layout or archive.

    Raises:
        UsageError: It is none of these.
    """
    if _URI.fullmatch(text):
        return Source(text, text)
    if local := _LOCAL.fullmatch(text):
        path = Path(local[2].split(":")[0])
        if not path.exists():
            raise UsageError(f"There is no {path}.", remedy="Name an OCI layout or archive that exists.")
        return Source(text, f"{local[1]}:{path.name}")
    path = Path(text)
    if path.is_dir():
        if (path / "oci-layout").is_file():
            return Source(f"oci:{path}", f"oci:{path.resolve().name}")
        return Source(str(path.resolve()), f"directory {path.resolve().name}")
    if path.is_file():
        return _file(path)
    known = ", ".join(f"{scheme}:" for scheme in SCHEMES)
    raise UsageError(
        f"{text} is no file, no directory and no image of a registry.",
        remedy=f"Name a SIF, a definition, a directory, or {known} and where it lies.",
    )


def _file(path: Path) -> Source:
    with path.open("rb") as stream:
        head = stream.read(_MAGIC_AT + len(SIF_MAGIC))
    if head[_MAGIC_AT:] == SIF_MAGIC:
        return Source(str(path.resolve()), f"file {path.name}", is_sif=True)
    text = head.decode("utf-8", errors="replace").lstrip().lower()
    if path.suffix == ".def" or text.startswith(("bootstrap:", "#")):
        return Source(str(path.resolve()), f"definition {path.name}")
    raise UsageError(
        f"{path} is neither a SIF nor a definition.",
        remedy="For an archive write oci-archive:FILE or docker-archive:FILE.",
    )


def identity(source: Source) -> str | None:
    """What an image of `source` is made from, in short; None where that lies elsewhere or is not all in `source`.

    The same directory, layout or archive gives an image with the same files, so it need not be made twice.
    """
    try:
        path = Path(source.apptainer)
        if path.is_dir():
            return f"directory {tree_digest(path)}"
        if local := _LOCAL.fullmatch(source.apptainer):
            name, _, rest = local[2].partition(":")
            path = Path(name)
            content = tree_digest(path) if path.is_dir() else f"sha256:{sha256_of(path)}"
            return f"{local[1]} {content} {rest}"
    except OSError as error:
        raise UsageError(
            f"{error.filename or source.shown} cannot be read: {error.strerror}.",
            remedy="Make it readable for you.",
        ) from error
    return None


def build(source: Source, target: Path, *, unpacked: bool = False) -> None:
    """Make the SIF `target` of `source`, or a directory. Apptainer puts the time into it: no two SIFs have one digest.

    Raises:
        NotAvailableError: Apptainer is missing.
        UsageError: It cannot make an image of this; its last words are told.
    """
    program = shutil.which("apptainer")
    if program is None:
        raise NotAvailableError(
            "Apptainer is not installed here, and it is what makes images.",
            remedy="Install it, or publish a SIF that was made elsewhere.",
        )
    argv = [program, "pull", str(target), source.apptainer]
    if not source.apptainer.startswith("oras://"):
        kind = ["--sandbox"] if unpacked else []
        argv = [program, "build", "--force", *kind, str(target), source.apptainer]
    log.info("%s", " ".join(argv))
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    for line in done.stderr.splitlines():
        log.info("apptainer: %s", line)
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()][-3:]
        raise UsageError(
            f"Apptainer cannot make an image of {source.shown}: {' '.join(said) or 'it says nothing'}",
            remedy="Run `fallow -v image publish …` to see all that it says.",
        )
