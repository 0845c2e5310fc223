"""The demo's workflow with its input in a directory, and its run on this machine alone to compare with."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fallow.errors import FallowError
from fallow_testbed.images import builder
from fallow_testbed.images.programs import clean_environment, inside, require_root
from fallow_testbed.progress import Progress

WORKFLOW = Path("containers") / "demo" / "workflow"


def prepare(directory: Path, progress: Progress) -> None:
    """Put the workflow, its input and the image of its tools into a directory; results that are there stay.

    Args:
        directory: Where `snakemake` will be called; made if it is missing.
        progress: Says what is being built.
    """
    images = builder(progress)
    found = images.ensure(["analysis", "demo-data"])
    shutil.copytree(images.catalogue.checkout / WORKFLOW, directory, dirs_exist_ok=True)
    shutil.copytree(found["demo-data"].tree, directory / "input", dirs_exist_ok=True)
    link = directory / "analysis.sif"
    link.unlink(missing_ok=True)
    link.symlink_to(found["analysis"].sif)


def run_here(
    directory: Path,
    targets: Sequence[str] = (),
    *,
    cores: int = 2,
    config: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> None:
    """Run the workflow of a prepared directory on this machine, its tools in containers.

    Snakemake and Apptainer come from the worker image, so the machine needs neither.

    Args:
        directory: A directory that `prepare` filled; gets `results/` and `logs/`.
        targets: Files to make; all when empty.
        cores: How many jobs run at once.
        config: Values that win over those of config.yaml.
        progress: Says what is being built.

    Raises:
        FallowError: The workflow failed; the message has the end of what Snakemake said.
    """
    require_root("Running the workflow in containers")
    images = builder(progress)
    images.ensure(["worker-base", "analysis"])
    image = (directory / "analysis.sif").resolve()
    argv = ["snakemake", "--directory", "/demo", "--snakefile", "/demo/Snakefile", "--cores", str(cores)]
    argv += [
        "--software-deployment-method",
        "apptainer",
        "--apptainer-args",
        f"--userns --bind {image.parent}",
    ]
    argv += ["--nolock", "--show-failed-logs"]
    argv += ["--config", *(f"{name}={value}" for name, value in config.items())] if config else []
    argv += ["--", *targets]
    with tempfile.TemporaryDirectory() as scratch:
        line = inside(
            images.catalogue.layers("worker-base"),
            argv,
            scratch=Path(scratch),
            binds={"/demo": directory.resolve(), str(image.parent): image.parent},
        )
        done = subprocess.run(
            line,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-20:])
        raise FallowError(f"The workflow failed on this machine (code {done.returncode}):\n{said}")
