"""Runs on the node first: unpacks what was sent with the job beside itself, in private files, and starts it."""

import importlib
import os
import runpy
import sys
import zipfile
from pathlib import Path


def main() -> None:
    """Unpack the archive that this is read from, remove it, and run the job's script in this interpreter."""
    archive = Path(sys.argv[0]).resolve()
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            descriptor = os.open(archive.with_name(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(packed.read(name))
    archive.unlink()
    sys.path[0] = str(archive.parent)
    importlib.import_module("fallow_lean").quicken()
    runpy.run_path(str(archive.with_name("fallow_job.py")), run_name="__main__")


if __name__ == "__main__":
    main()
