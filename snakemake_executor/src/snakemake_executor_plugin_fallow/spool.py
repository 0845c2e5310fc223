"""The one file that is sent with each job: an archive that Python runs, with our scripts and the job's description.

For each file of each job the queue has a handshake, a file and a sync: of a thousand jobs that is felt.
"""

from __future__ import annotations

import io
import os
import zipfile
from importlib.resources import files
from pathlib import Path

from fallow.files import private_directory

PROGRAM = "job.pyz"
"""The archive's name beside the job."""
DESCRIPTION = "job.json"
"""The description's name in the archive."""


class SpoolArea:
    """A private local directory that holds each job's file until the queue has it.

    Args:
        root: A directory of our own.
    """

    def __init__(self, root: Path) -> None:
        self._root = private_directory(root)
        self._scripts = _packed_scripts()

    def put(self, key: str, document: str) -> tuple[Path, ...]:
        """Write a job's file, which holds its description `document`; returns all its input files."""
        packed = io.BytesIO(self._scripts)
        with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(DESCRIPTION, document, zipfile.ZIP_STORED)  # small, and many
        path = private_directory(self._root / key) / PROGRAM
        # not synced to disk: after a crash nobody asks for it
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed.getbuffer())
        return (path,)

    def clear(self, key: str) -> None:
        """Remove what was written for a job."""
        (self._root / key / PROGRAM).unlink(missing_ok=True)


def _packed_scripts() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for script in files("snakemake_executor_plugin_fallow").joinpath("job").iterdir():
            if script.name.endswith(".py"):
                archive.writestr(script.name, script.read_bytes())
    return packed.getvalue()
