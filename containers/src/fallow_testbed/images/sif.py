"""Packs a directory as a SIF file with the Apptainer of the root file system."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fallow.errors import FallowError
from fallow_testbed.images.programs import ProgramError, Runner, clean_environment, inside

_SQUASHFS = "-comp lz4 -no-xattrs"
# A job starts cold: with lz4 Snakemake is imported in two thirds of the time of zstd; the file is half as large again.


def pack(tree: Path, target: Path, *, packer: Sequence[Path], scratch: Path, runner: Runner) -> str:
    """Write `tree` as a SIF file.

    Args:
        tree: Root directory of the image.
        target: The file to write; its directory exists.
        packer: Layers of a root file system that has Apptainer.
        scratch: An empty directory.
        runner: Runs the programs.

    Returns:
        SHA-256 of the file, 64 hexadecimal digits.

    Raises:
        FallowError: Apptainer failed.
    """
    argv = [
        "apptainer",
        "--quiet",
        "build",
        "--mksquashfs-args",
        _SQUASHFS,
        f"/build/out/{target.name}",
        "/build/tree",
    ]
    binds = {"/build/tree": tree, "/build/out": target.parent}
    try:
        runner.run(inside(packer, argv, scratch=scratch, binds=binds), env=clean_environment())
    except ProgramError as error:
        raise FallowError(
            f"Apptainer could not pack {target.name}.", remedy=f"All that it said is in {runner.log}."
        ) from error
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
