"""Snakemake's executor in the real federation: what happens to a workflow when something goes away."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fallow_testbed import people
from fallow_testbed.demo.run import FALLOW, STEPS, command
from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

SNAKEFILE = """
rule all:
    input: "all.txt"
rule each:
    output: "parts/{n}.txt"
    log: "logs/{n}.log"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "sleep {params.s}; echo {wildcards.n} > {output}; echo made {wildcards.n} > {log}"
rule join:
    input: expand("parts/{n}.txt", n=range(8))
    output: "all.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "cat {input} > {output}"
""".replace("{params.s}", "$(( 3 * {wildcards.n} ))")


class Workflow:
    """One workflow of a person at the desk."""

    def __init__(
        self, bed: Testbed, directory: Path, worker: Path, *options: str, person: str = "alice"
    ) -> None:
        self.layout = bed.layout()
        self.directory = directory
        self.env = people.environment(self.layout, person)
        url = json.loads(self.desk(FALLOW, "storage", "--json").stdout)["url"]
        self.argv = [*command(f"{url}/{directory.name}", worker), *options]
        self.log = directory / "snakemake.log"

    def desk(self, *argv: str, check: bool = True) -> CompletedProcess[str]:
        """Run a command at the desk, in the workflow's directory."""
        host = self.layout.desk()
        return host.run(list(argv), env=self.env, directory=self.directory, check=check, timeout_s=240)

    def start(self) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own."""
        with self.log.open("w") as stream:
            return subprocess.Popen(
                self.layout.desk().enter(self.argv, env=self.env, directory=self.directory),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def steps(self) -> int:
        """How many steps Snakemake says are done."""
        found = STEPS.findall(self.log.read_text())
        return int(found[-1][0]) if found else 0

    def kill(self) -> None:
        """Kill Snakemake as a crash would: nothing of it can tidy up."""
        self.desk("pkill", "--signal", "KILL", "-f", f"default-storage-prefix .*/{self.directory.name} ")

    def result(self, name: str) -> str:
        """A file of the workflow's, from the storage."""
        into = self.directory / "fetched"
        into.mkdir(exist_ok=True)
        host = self.layout.desk()
        argv = [FALLOW, "storage", "get", "--from", self.directory.name, name]
        host.run(argv, env=self.env, directory=into)
        return (into / name).read_text()


@pytest.fixture
def workflow(bed: Testbed, tmp_path: Path) -> Workflow:
    return Workflow(bed, tmp_path, ensure_sif("worker").sif)


def test_the_same_command_goes_on_after_snakemake_was_killed(
    workflow: Workflow, operator: Callable[..., CompletedProcess[str]]
) -> None:
    (workflow.directory / "Snakefile").write_text(SNAKEFILE)
    killed = workflow.start()
    wait_until(lambda: workflow.steps() >= 2, "two finished jobs", 120)
    workflow.kill()
    assert killed.wait(timeout=30) in (-signal.SIGKILL, 128 + signal.SIGKILL)

    again = workflow.start()
    code = again.wait(timeout=240)
    said = workflow.log.read_text()
    assert code == 0, said
    assert "Taking up the run" in said
    assert workflow.result("all.txt") == "".join(f"{n}\n" for n in range(8))
    [run] = {path.stem for path in (workflow.directory / ".snakemake" / "fallow").glob("*.jsonl")}
    columns = ("-constraint", f'FallowRun == "{run}"', "-af", "FallowName", "NumJobStarts")
    rows = [
        line.rsplit(" ", 1)
        for argv in (
            ("condor_q", "-name", "queue@hub", "-allusers"),
            ("condor_history", "-name", "queue@hub"),
        )
        for line in operator(*argv, *columns).stdout.splitlines()
    ]
    names = Counter(name for name, _ in rows)
    assert names == {**{f"each (n={n})": 1 for n in range(8)}, "join": 1}
