"""Whole workflows by `--executor fallow`, by the slurm plugin, and on the node itself, with the same four cores.

Usage: python -m tests.benchmarks.bench_snakemake [--rules N] [--rounds N] [--only NAME …] [--workflows NAME …] [--keep]

One centre has one node of four cores. `fallow` runs at the desk, its jobs in a pilot on that node, all files through S3;
`slurm` on the login host with the plugin's default settings, its jobs on the same node, files on the shared file system and
no container around the job; `local` on the node with `--cores 4`. Two workflows: rules of one second each that do not
depend on one another, and the demo's. They take turns; a time is the median of its rounds, or of the only one. Overhead is
what the wall time has beyond the rules' own seconds on four cores, shared out over the rules. A round of 200 rules takes 18
minutes: each is kept when it is over, and with `--keep` a run goes on with the rounds of the last one.
Goals: a wall time below the slurm plugin's, and less than half of its overhead.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import around, conditions, kept, leave, spread, tell
from tests.benchmarks.peers import SLURM, LocalSnakemake
from tests.integration.pilots.sites import Site

from fallow_testbed import demo_data, people
from fallow_testbed.demo.run import FALLOW, command
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed

DECLARATION = Path(__file__).with_name("snakemake.toml")
TITLE = "Whole workflows on four cores"
WORKFLOWS = ("second", "demo")
CENTRE, PERSON, CORES, LIMIT_S = "alder", "alice", 4, 1200
SOON = ("--slurm-init-seconds-before-status-checks", "10")
"""For the slurm plugin where nothing is measured: it looks after its jobs after 40 s else."""
WARM = """
rule all:
    input: "warm.txt"
rule warm:
    output: "warm.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "touch {output}"
"""
SECOND = """
rule all:
    input: expand("{n}.txt", n=range(COUNT))
rule second:
    output: "{n}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "sleep 1; echo {wildcards.n} > {output}"
"""


def write(folder: Path, workflow: str, rules: int) -> None:
    """Put a workflow into a folder."""
    if workflow == "demo":
        demo_data.prepare(folder, Progress())
        image = (folder / "analysis.sif").resolve()
        (folder / "analysis.sif").unlink()
        shutil.copy(image, folder / "analysis.sif")
    else:
        folder.mkdir(parents=True)
        text = WARM if workflow == "warm" else SECOND.replace("COUNT", str(rules))
        (folder / "Snakefile").write_text(text)


@dataclass
class Ways:
    """The three ways to run a workflow; each answers with its wall time in seconds."""

    layout: Layout
    scratch: Path
    rules: int
    local: LocalSnakemake

    def fallow(self, workflow: str) -> float:
        """At the desk, through the hub."""
        desk, env = self.layout.desk(), people.environment(self.layout, PERSON)
        folder = self.scratch / secrets.token_hex(4)
        write(folder, workflow, self.rules)
        storage = json.loads(desk.run([FALLOW, "storage", "--json"], env=env).stdout)
        if workflow == "demo":
            argv = [FALLOW, "storage", "put", "--to", folder.name, "input"]
            desk.run(argv, env=env, directory=folder)
        argv = command(f"{storage['url']}/{folder.name}", ensure_sif("worker").sif)
        argv[argv.index("--jobs") + 1] = str(self.rules)
        begun = time.monotonic()
        done = subprocess.run(
            desk.enter(argv, env=env, directory=folder),
            text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=LIMIT_S,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"Snakemake at the desk: {done.stderr[-3000:]}")
        return time.monotonic() - begun

    def slurm(self, workflow: str) -> float:
        """On the login host, by the slurm plugin."""
        early = SOON if workflow == "warm" else ()
        return self._at_centre(workflow, *SLURM, *early, "--jobs", str(self.rules))

    def on_node(self, workflow: str) -> float:
        """On the node alone."""
        return self._at_centre(workflow, "--cores", str(CORES), on_node=True)

    def _at_centre(self, workflow: str, *arguments: str, on_node: bool = False) -> float:
        name = secrets.token_hex(4)
        write(self.local.outside / name, workflow, self.rules)
        self.local.own()
        sdm = ("--software-deployment-method", "apptainer") if workflow == "demo" else ()
        begun = time.monotonic()
        self.local.run(*arguments, *sdm, work=name, on_node=on_node)
        return time.monotonic() - begun


def measure(
    layout: Layout, scratch: Path, rules: int, rounds: int, only: list[str] | None, workflows: Sequence[str]
) -> Iterator[dict[str, dict[str, float]]]:
    """Wall times in seconds by way and workflow, round by round; the pilot is away while it is not Fallow's turn."""
    local = LocalSnakemake(layout, CENTRE, "workflows")
    local.install()
    ways, site = Ways(layout, scratch, rules, local), Site(CENTRE, layout)
    known: dict[str, Callable[[str], float]] = {
        "fallow": ways.fallow, "slurm": ways.slurm, "local": ways.on_node,
    }  # fmt: skip
    for _ in range(rounds):
        taken: dict[str, dict[str, float]] = {}
        for name in [name for name in known if not only or name in only]:
            site.fallow(*(("resume",) if name == "fallow" else ("withdraw", "--now")))
            if name == "fallow":
                site.wait_for_pilots()
            known[name]("warm")
            taken[name] = {}
            for workflow in workflows:
                taken[name][workflow] = known[name](workflow)
                print(f"{name}, {workflow}: {taken[name][workflow]:.0f} s", file=sys.stderr, flush=True)
        yield taken


def put(wall: dict[str, dict[str, list[float]]], taken: dict[str, dict[str, float]]) -> None:
    """Add a round to those that are known."""
    for name, times in taken.items():
        for workflow, wall_s in times.items():
            wall.setdefault(name, {}).setdefault(workflow, []).append(wall_s)


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rules = figures["rules"]
    rows = []
    for name, times in figures["wall_s"].items():
        second = spread(times["second"])
        overhead = (second["median"] - rules / figures["cores"]) / rules
        rows.append(
            {
                "by": name,
                f"{rules} rules of 1 s": shown(second),
                "overhead of a rule": f"{overhead:.2f} s",
                **({"the demo's workflow": shown(spread(times["demo"]))} if "demo" in times else {}),
            }
        )
    return rows


def shown(times: dict[str, float]) -> str:
    """A median; of several rounds also the least, the most and how many there were."""
    return around(times, ".0f", " s", "rounds") if times["runs"] > 1 else f"{times['median']:.0f} s"


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="Whole workflows by three executors.")
    parser.add_argument("--rules", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="these ways only")
    parser.add_argument("--workflows", nargs="+", choices=WORKFLOWS, default=WORKFLOWS)
    parser.add_argument("--keep", action="store_true", help="go on with the rounds of the last run")
    asked = parser.parse_args()
    about = conditions()
    figures = kept("snakemake", about, again=True) if asked.keep else {}
    if figures and figures["rules"] != asked.rules:
        parser.error(
            f"the last run had {figures['rules']} rules; leave --keep out, or name --rules {figures['rules']}"
        )
    figures = {"rules": asked.rules, "cores": CORES, "wall_s": figures.get("wall_s", {})}
    with tempfile.TemporaryDirectory() as folder:
        bed = Testbed(Path(folder) / "snakemake")
        layout = bed.up(DECLARATION, testbed_layers(), Progress())
        try:
            for taken in measure(
                layout, Path(folder), asked.rules, asked.rounds, asked.only, asked.workflows
            ):
                put(figures["wall_s"], taken)
                leave("snakemake", about, figures)
        finally:
            bed.down()
    tell("snakemake", TITLE, about, figures, table)


if __name__ == "__main__":
    main()
