"""The same workflow in the federation and on this machine alone, and what both made."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fallow_testbed import people
from fallow_testbed.demo.run import FALLOW, command
from fallow_testbed.images import builder, ensure_sif
from fallow_testbed.images.programs import clean_environment, inside
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed

CORPUS = Path(__file__).parent / "corpus"
INPUT = "input"
"""The folder of a workflow's files that are uploaded first."""
IMAGE = "tools.sif"
USER = "alice"


class Federated:
    """A workflow of alice's at the desk, in a directory, with a folder of its own in the storage.

    Args:
        bed: The testbed.
        source: The workflow's files.
        directory: Where to work; made.
        argv: Further arguments of Snakemake.
        env: Further variables of Snakemake's environment.
    """

    def __init__(
        self,
        bed: Testbed,
        source: Path,
        directory: Path,
        argv: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        prepare(source, directory)
        self.directory = directory
        self._folder = f"{directory.name}-{secrets.token_hex(4)}"
        self.log = directory / ".snakemake.log"
        self._desk = bed.host("desk")
        self.env = {**people.environment(bed.layout(), USER), **(env or {})}
        url = json.loads(self.fallow("storage", "--json"))["url"]
        self.argv = [*command(f"{url}/{self._folder}", ensure_sif("worker").sif), *argv]
        if (directory / INPUT).is_dir():
            self.fallow("storage", "put", "--to", self._folder, INPUT)

    def fallow(self, *argv: str, directory: Path | None = None) -> str:
        """What a `fallow` command says to alice."""
        where = directory or self.directory
        return self._desk.run([FALLOW, *argv], env=self.env, directory=where, timeout_s=120).stdout

    def start(self) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own."""
        with self.log.open("w") as stream:
            return subprocess.Popen(
                self._desk.enter(self.argv, env=self.env, directory=self.directory),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def made(self) -> dict[str, bytes]:
        """The workflow's files in the storage, but for what we keep there ourselves."""
        with tempfile.TemporaryDirectory() as place:
            self.fallow("storage", "get", self._folder, directory=Path(place))
            return contents(Path(place) / self._folder)

    def jobs(self) -> list[dict[str, object]]:
        """What the run's report says of each submission."""
        [report] = (self.directory / ".snakemake" / "fallow").glob("*.jsonl")
        return [json.loads(line) for line in report.read_text().splitlines()]


def prepare(source: Path, directory: Path) -> None:
    """Put a workflow into a new directory, with the image of its tools if it names one."""
    shutil.copytree(source, directory)
    if IMAGE in (directory / "Snakefile").read_text():
        (directory / IMAGE).symlink_to(ensure_sif("analysis").sif)


def run_here(
    source: Path, directory: Path, argv: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Run a workflow on this machine with the worker image's Snakemake; returns what is there then."""
    prepare(source, directory)
    images = builder(Progress())
    images.ensure(["worker-base"])
    image = ensure_sif("analysis").sif
    line = ["snakemake", "--directory", "/here", "--snakefile", "/here/Snakefile", "--cores", "2", "--nolock"]
    line += [
        "--software-deployment-method",
        "apptainer",
        "--apptainer-args",
        f"--userns --bind {image.parent}",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            inside(
                images.catalogue.layers("worker-base"),
                [*line, "--show-failed-logs", *argv],
                scratch=Path(scratch),
                binds={"/here": directory, str(image.parent): image.parent},
                network=True,  # a notebook talks to its kernel
            ),
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    sources = contents(source)
    return {name: content for name, content in contents(directory).items() if name not in sources} | {
        name: content for name, content in sources.items() if name.startswith(f"{INPUT}/")
    }


def contents(directory: Path) -> dict[str, bytes]:
    """All files below a directory by their paths, but for hidden folders at its top, images and what Python keeps."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        hidden = name.parts[0].startswith(".") or "__pycache__" in name.parts
        if path.is_file() and not hidden and path.suffix != ".sif":
            found[str(name)] = path.read_bytes()
    return found
