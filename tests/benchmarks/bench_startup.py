"""What a rule costs beside its own command: our job, the stock job script, and the slurm plugin, on one node of a testbed.

Usage: python -m tests.benchmarks.bench_startup [--first]

Six jobs one after another, the first to warm up; each writes one small file. Ours and the stock script run in the worker
image in Apptainer, as a pilot starts it, against the hub's S3 server; what is counted goes from the start of Apptainer to
its end. The stock script is what Snakemake gives an executor without a shared file system, here through the cluster-generic
plugin with sources deployed; without the `pip install` that other plugins put before it. The slurm plugin runs in
the same Slurm with a shared file system and no container: what is counted goes from its first Python to the end of it.
Goal: ours takes at most 1.2 s. With `--first` all that is measured goes before whatever else the machine has to do
(SCHED_RR), as if it had nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import ROOT, conditions, spread, tell
from tests.benchmarks.peers import SLURM, LocalSnakemake, install_packages

from fallow_testbed import centre, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed

TITLE = "What a rule costs beside its command"
CENTRE = "alder"
WORKER = "/home/worker.sif"
JOBS, GOAL_S, LIMIT_S = 6, 1.2, 600
SNAKEFILE = f"""
rule all:
    input: expand("{{n}}.txt", n=range({JOBS}))
rule each:
    output: "{{n}}.txt"
    resources: mem_mb=300, disk_mb=200, runtime=5
    shell: "echo {{wildcards.n}} > {{output}}"
"""
TIMED = (
    '#!/bin/sh\ndate +%s.%N >>"$TIMES"\n/usr/bin/python3 "$@"\ncode=$?\ndate +%s.%N >>"$TIMES"\nexit $code\n'
)
"""A `python` that writes down when it starts and ends; those within the first one count as part of it."""


@dataclass
class Node:
    """Runs jobs in the worker image as a pilot does, and takes the time."""

    host: Host
    image: str
    times: list[float]
    cpu: list[float]
    """The same jobs' CPU time, which says more on a machine that has other things to do."""

    def run(self, job: Path) -> None:
        """Run the job in a folder of this machine; its code, stdout and stderr are put there."""
        scratch = f"/scratch/{job.name}"
        inside = self.host.files / scratch.lstrip("/")
        shutil.copytree(job, inside, symlinks=True)
        self.host.run(["chown", "-R", centre.ACCOUNT, scratch])
        argv = ["/usr/bin/env", *json.loads((job / "argv").read_text())]
        if (inside / "ca.pem").exists():
            argv.insert(1, f"AWS_CA_BUNDLE={scratch}/ca.pem")
        container = [
            "apptainer", "-s", "exec", "--userns", "--containall", "--no-eval", "--no-mount", "bind-paths,hostfs,cwd",
            "-W", scratch, "--home", scratch, "--pwd", scratch, "-B", scratch, "-B", "/etc/hosts:/etc/hosts:ro", self.image,
        ]  # fmt: skip
        began, spent = time.monotonic(), children_s()
        done = self.host.run(
            [*container, *argv],
            user=centre.ACCOUNT,
            check=False,
            timeout_s=120,
            env={"APPTAINER_TMPDIR": scratch, "APPTAINER_CACHEDIR": scratch},
        )
        self.times.append(time.monotonic() - began)
        self.cpu.append(children_s() - spent)
        (job / "stdout").write_text(done.stdout)
        (job / "stderr").write_text(done.stderr)
        self.host.run(["rm", "-rf", scratch])
        (job / "code").write_text(str(done.returncode))


def children_s() -> float:
    """CPU time of all processes that this one has waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def at_desk(
    layout: Layout, node: Node, arguments: list[str], env: dict[str, str], extra: Callable[[Path], None]
) -> None:
    """Run Snakemake at the desk and every job that it hands over on the node."""
    with tempfile.TemporaryDirectory() as folder:
        jobs, work = Path(folder) / "jobs", Path(folder) / "work"
        jobs.mkdir()
        work.mkdir()
        (work / "Snakefile").write_text(SNAKEFILE)
        argv = [word.replace("@jobs@", str(jobs)) for word in arguments]
        with (work / "log").open("w") as log:
            snakemake = subprocess.Popen(
                layout.desk().enter(argv, env={**people.environment(layout, "alice"), **env}, directory=work),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            end = time.monotonic() + LIMIT_S
            while snakemake.poll() is None and time.monotonic() < end:
                for job in [ready.parent for ready in jobs.glob("*/ready")]:
                    (job / "ready").unlink()
                    extra(job)
                    node.run(job)
                time.sleep(0.01)
            snakemake.kill()
        if snakemake.wait() != 0 or len(node.times) != JOBS:
            said = "".join(path.read_text()[-2000:] for path in jobs.glob("*/stderr"))
            sys.exit(f"{(work / 'log').read_text()[-3000:]}\n{said[-3000:]}")


def ours(layout: Layout, node: Node, url: str, worker: Path) -> None:
    """The executor's own jobs."""
    arguments = [
        sys.executable, "-m", "tests.benchmarks.startup_desk", "@jobs@",
        *("--executor", "fallow", "--fallow-image", str(worker)),
        *("--default-storage-provider", "s3", "--default-storage-prefix", f"{url}/startup-ours", "--jobs", "1"),
    ]  # fmt: skip
    at_desk(layout, node, arguments, {"PYTHONPATH": str(ROOT)}, lambda job: None)


def stock(layout: Layout, node: Node, url: str, peers: Path) -> None:
    """Snakemake's job script for executors without a shared file system."""
    desk, env = layout.desk(), people.environment(layout, "alice")
    ask = (
        "import json; from fallow.client import connect; a = connect().storage();"
        "print(json.dumps([a.endpoint, a.region, a.access_key, a.secret_key, a.session_token]))"
    )
    given = json.loads(desk.run([sys.executable, "-c", ask], env=env).stdout)
    names = ("ENDPOINT_URL", "REGION", "ACCESS_KEY", "SECRET_KEY", "TOKEN")
    ca = Path(env["HOME"]) / "ca.pem"
    keys = {
        **{f"SNAKEMAKE_STORAGE_S3_{name}": value for name, value in zip(names, given, strict=True)},
        "AWS_CA_BUNDLE": str(ca),
        "PYTHONPATH": f"{ROOT}:{peers}",
    }
    call = f"{sys.executable} -m tests.benchmarks.startup_desk submit @jobs@"
    arguments = [
        str(Path(sys.executable).with_name("snakemake")), "--executor", "cluster-generic", "--shared-fs-usage", "none",
        *("--cluster-generic-submit-cmd", call, "--cluster-generic-status-cmd", "echo success #"),
        *("--default-storage-provider", "s3", "--default-storage-prefix", f"{url}/startup-stock", "--jobs", "1"),
        *("--seconds-between-status-checks", "1"),
    ]  # fmt: skip
    at_desk(layout, node, arguments, keys, lambda job: bring(ca, job / "ca.pem"))


def bring(file: Path, to: Path) -> None:
    """Put a copy of a file to a job's files."""
    shutil.copy(file, to)


def slurm(layout: Layout) -> list[float]:
    """The slurm plugin's jobs, by its users' own means: a shared file system, no container."""
    local = LocalSnakemake(layout, CENTRE, "startup")
    local.install()
    (local.outside / "work" / "Snakefile").write_text(SNAKEFILE)
    timed = local.outside / "bin" / "python"
    timed.unlink()
    timed.write_text(TIMED)
    timed.chmod(0o755)
    local.own()
    local.run(*SLURM, "--jobs", "1", TIMES=f"{local.inside}/times")
    stamps = [float(line) for line in (local.outside / "times").read_text().split()]
    shutil.rmtree(local.outside)
    return outermost(stamps)


def go_first(where: Path) -> None:
    """Have this process, those of the hosts below `where`, and all that they start run before everything else."""
    for process in [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]:
        with contextlib.suppress(OSError):
            if process.name == str(os.getpid()) or f"{where}/" in (process / "mountinfo").read_text():
                for task in (process / "task").iterdir():
                    os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(1))


def outermost(stamps: list[float]) -> list[float]:
    """How long each job took, where each has as many stamps, the first at its start and the last at its end."""
    each = len(stamps) // JOBS
    return [stamps[start + each - 1] - stamps[start] for start in range(0, len(stamps), each)]


def main() -> int:
    """Measure and show; 1 where the goal is missed."""
    about = conditions()
    with tempfile.TemporaryDirectory() as place:
        bed = Testbed(Path(place) / "startup")
        layout = bed.up(DEFAULT, testbed_layers(), Progress())
        try:
            found, cpu = measure(bed, layout, Path(place))
        finally:
            bed.down()
    figures = {"seconds": found, "cpu_s": cpu, "first": os.sched_getscheduler(0) == os.SCHED_RR}
    tell("startup", TITLE, about, figures, table)
    return 0 if spread(found["fallow"][1:])["median"] <= GOAL_S else 1


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at; the first job of each warms up."""
    rows = []
    for name, times in figures["seconds"].items():
        warm, cpu = spread(times[1:]), figures["cpu_s"].get(name)
        rows.append(
            {
                "job": name,
                "median": f"{warm['median']:.2f} s",
                "least": f"{warm['least']:.2f} s",
                "most": f"{warm['most']:.2f} s",
                "CPU": f"{spread(cpu[1:])['median']:.2f} s" if cpu else "",
            }
        )
    return rows


def measure(
    bed: Testbed, layout: Layout, place: Path
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Every kind's times and, where it is known, CPU times; the pilots, which would compete for the machine, are away."""
    for name in layout.spec.centres:
        argv = ["fallow", "pilot", "withdraw", "--now"]
        layout.login(name).run(argv, user=centre.ACCOUNT, env={"FALLOW_POLICY": centre.POLICY})
    worker = ensure_sif("worker").sif
    shutil.copy(worker, layout.home(CENTRE) / "worker.sif")
    env = people.environment(layout, "alice")
    fallow = str(Path(sys.executable).with_name("fallow"))
    storage = json.loads(layout.desk().run([fallow, "storage", "--json"], env=env).stdout)
    url = f"{storage['url']}/{secrets.token_hex(4)}"
    peers = place / "peers"
    install_packages(peers, "--no-deps", "snakemake-executor-plugin-cluster-generic", for_nodes=False)
    plugin = peers / "snakemake_executor_plugin_cluster_generic" / "__init__.py"
    plugin.write_text(plugin.read_text().replace("job_deploy_sources=False", "job_deploy_sources=True"))
    node = bed.host(f"{CENTRE}-1")
    found: dict[str, list[float]] = {"fallow": [], "stock script": []}
    cpu: dict[str, list[float]] = {"fallow": [], "stock script": []}
    print(f"measuring on {node.name}", file=sys.stderr)
    if "--first" in sys.argv:
        go_first(bed.directory)
    ours(layout, Node(node, WORKER, found["fallow"], cpu["fallow"]), url, worker)
    stock(layout, Node(node, WORKER, found["stock script"], cpu["stock script"]), url, peers)
    found["slurm plugin"] = slurm(layout)
    return found, cpu


if __name__ == "__main__":
    sys.exit(main())
