"""Images as directories, unpacked once by a pilot: for nodes without FUSE, where Apptainer would do it for every job, and
for images that many short jobs run in.

Usage: python -m fallow_pilots.node.unpack IMAGE DIGEST DIRECTORY
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError
from fallow_pilots.node.finding import find_program
from fallow_pilots.node.trees import remove_tree

log = logging.getLogger(__name__)

DEVICE = "/dev/fuse"
GROWS = 4
"""An unpacked image is hardly larger than so many times its file."""
RESERVE_BYTES = 256 << 20


def fuse_is_there(program: Path | None = None) -> bool:
    """Whether this node can mount images: the device may be used, and there is a program that mounts.

    Args:
        program: Apptainer, which may bring its own.
    """
    program = program or find_program("apptainer")
    own = program.resolve().parent.parent / "libexec" / "apptainer" / "bin"
    path = os.pathsep.join([str(own), os.environ.get("PATH", os.defpath), "/usr/local/bin", "/usr/bin"])
    mounts = any(shutil.which(name, path=path) for name in ("squashfuse_ll", "squashfuse"))
    return mounts and os.access(DEVICE, os.R_OK | os.W_OK)


def unpacked(image: Path, digest: str, into: Path) -> Path:
    """The directory with the files of an image, made if it is not there.

    Args:
        image: The SIF, checked.
        digest: Its digest, 64 hexadecimal digits.
        into: A directory of this pilot's on the node's own disk.

    Raises:
        NotAvailableError: There is no room, or Apptainer cannot unpack it.
    """
    target = into / digest
    if target.is_dir():
        return target
    size = image.stat().st_size * GROWS + RESERVE_BYTES
    free = shutil.disk_usage(into).free
    if free < size:
        raise NotAvailableError(
            f"Unpacking the image takes up to {size} bytes; {into} has {free} free.",
            remedy="Let the pilots' user read and write /dev/fuse, or name a larger scratch directory.",
            retryable=True,
        )
    draft = into / f".{digest}.{os.getpid()}"
    try:
        _unpack(image, draft)
        draft.replace(target)
    finally:
        if draft.exists():
            remove_tree(draft)
    log.info("image sha256:%s is unpacked", digest)
    return target


def _unpack(image: Path, into: Path) -> None:
    argv = [str(find_program("apptainer")), "-s", "build", "--sandbox", str(into), str(image)]
    # Nothing of the pilot's environment that Apptainer would follow.
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("APPTAINER", "SINGULARITY"))
    }
    environment = {**kept, "APPTAINER_TMPDIR": str(into.parent), "APPTAINER_CACHEDIR": str(into.parent)}
    done = subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-300:]
        raise NotAvailableError(f"Apptainer cannot unpack {image}: {said}", retryable=True)


def main() -> int:
    """Entry point; a failure is one line on standard error and a status other than 0."""
    image, digest, into = sys.argv[1:]
    try:
        unpacked(Path(image), digest, Path(into))
    except FallowError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
