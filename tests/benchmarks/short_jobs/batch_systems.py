"""HTCondor and Slurm as a centre has them: jobs from its login host to its node, files on the shared `/home`."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.short_jobs.system import CONTAINER, IMAGE, Place, until

SHARED = """\
executable = /usr/bin/apptainer
arguments = "{arguments}"
transfer_executable = false
should_transfer_files = no
"""
TRANSFERRED = """\
universe = container
container_image = {image}
transfer_container = false
executable = /bin/true
transfer_executable = false
should_transfer_files = yes
output = out.$(Process)
error = err.$(Process)
"""
COMMON = """\
log = {log}
keep_claim_idle = 4
request_cpus = 1
request_memory = 128
queue {count}
"""


def ends(log: Path) -> int:
    """How many jobs have ended, by HTCondor's event log: event 005."""
    return len(re.findall(r"^005 \(", log.read_text(), re.MULTILINE)) if log.exists() else 0


@dataclass
class HTCondor:
    """`condor_submit`; an end is read in the job's event log, which is the fastest that HTCondor offers.

    Either its container universe with what the job writes transferred back, which is what Fallow's jobs have too, or
    Apptainer as a plain program that writes nothing, with nothing transferred.
    """

    place: Place
    transferred: bool
    name: str
    _batches: int = 0

    def start(self) -> None:
        """Warm every slot."""
        self.place.login.run(["install", "-d", "-o", self.place.account, f"/home/{self.place.account}/short"])
        self.batch(2 * self.place.slots)

    def batch(self, count: int) -> float:
        """One cluster."""
        self._batches += 1
        folder = f"/home/{self.place.account}/short"
        log = self.place.home / self.place.account / "short" / f"log{self._batches}-{self.transferred:d}"
        text = (TRANSFERRED if self.transferred else SHARED) + COMMON
        text = text.format(
            arguments=" ".join((*CONTAINER[1:], "true")), image=IMAGE, log=f"{folder}/{log.name}", count=count
        )
        begun = time.monotonic()
        self.place.login.run(
            ["sh", "-c", f"cd {folder} && condor_submit -"], user=self.place.account, stdin=text
        )
        until(lambda: count - ends(log), f"{count} jobs of {self.name}")
        taken = time.monotonic() - begun
        if log.read_text().count("(return value 0)") != count:
            raise RuntimeError(f"some jobs of HTCondor failed: {log.read_text()[-1000:]}")
        return taken

    def stop(self) -> None:
        """Nothing is held."""


@dataclass
class Slurm:
    """`sbatch` with an array, in the centre's main partition; an end is seen when `squeue` has no job of it any more."""

    place: Place
    name: str = "Slurm"

    def start(self) -> None:
        """Warm every slot."""
        self.batch(2 * self.place.slots)

    def batch(self, count: int) -> float:
        """One array."""
        argv = [
            "sbatch", "--parsable", "--partition", "main", f"--array=1-{count}", "--ntasks=1", "--mem=128",
            "--output=/dev/null", "--chdir=/tmp", f"--wrap=exec {' '.join(CONTAINER)} true",
        ]  # fmt: skip
        begun = time.monotonic()
        job = self.place.login.run(argv, user=self.place.account).stdout.strip()

        def left() -> int:
            argv = ["squeue", "--noheader", "--array", "--jobs", job, "--format", "%i"]
            return len(self.place.login.run(argv, user=self.place.account).stdout.split())

        until(left, f"{count} jobs of Slurm")
        taken = time.monotonic() - begun
        failed = self.place.login.run(
            ["scontrol", "show", "job", job, "--oneliner"], user=self.place.account, check=False
        ).stdout
        if "ExitCode=0:0" not in failed or failed.count("JobState=COMPLETED") != failed.count("JobState="):
            raise RuntimeError(f"some jobs of Slurm failed: {failed[-1000:]}")
        return taken

    def stop(self) -> None:
        """Nothing is held."""
