"""Runs the demo from nothing to the tables."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from fallow import output
from fallow.errors import FallowError
from fallow_testbed import demo_data, people
from fallow_testbed.demo import locals as local_users
from fallow_testbed.demo import report
from fallow_testbed.demo.locals import Preemption
from fallow_testbed.images import builder
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed, check_machine, state_directory
from fallow_testbed.wait import wait_until

USER = "alice"
LONG_RULE = "resample"
FOLDER = "demo"
FALLOW = str(Path(sys.executable).with_name("fallow"))
STEPS = re.compile(r"^(\d+) of (\d+) steps", re.MULTILINE)


def run(name: str, directory: Path) -> None:
    """Build what is missing, bring the federation up, run the workflow in `directory`, show where it ran.

    The testbed stays up afterwards, so that one can look around; an interrupt or a failure takes it down.

    Raises:
        FallowError: A step failed; the message says which and what to do.
    """
    check_machine()
    progress = Progress()
    images = builder(progress)
    built = images.ensure(["parts", "worker", "analysis", "demo-data"])
    bed = Testbed(state_directory(name))
    try:
        layout = bed.up(DEFAULT, images.catalogue.layers("parts"), progress)
        wait_for_capacity(layout, progress)
        with progress.step("let each centre's own users take part of their machine"):
            for centre, declared in layout.spec.centres.items():
                local_users.occupy(layout, centre, max(1, declared.nodes * declared.cores // 4))
        shutil.rmtree(directory, ignore_errors=True)
        demo_data.prepare(directory, progress)
        preempted = run_workflow(layout, directory, built["worker"].sif)
    except BaseException:
        with progress.step("take the testbed down"):
            bed.down()
        raise
    show(layout, directory, preempted)


def wait_for_capacity(layout: Layout, progress: Progress) -> None:
    """Wait until every centre that gives pilots runs one, then show what is on offer."""
    givers = {name for name, declared in layout.spec.centres.items() if declared.pilots.max_pilots}

    def all_give() -> bool:
        said = layout.desk().run(
            [FALLOW, "capacity", "--json"], env=people.environment(layout, USER), check=False
        )
        offers = json.loads(said.stdout) if said.returncode == 0 else []
        return givers <= {offer["centre"] for offer in offers if offer["running_pilots"]}

    with progress.step("wait for the first pilot of every centre"):
        wait_until(all_give, "the pilots of all centres", 60, pause_s=0.3)
    click.echo(layout.desk().run([FALLOW, "capacity"], env=people.environment(layout, USER)).stdout)


def command(prefix: str, worker: Path) -> list[str]:
    """What the user types to run the workflow in the federation."""
    return [
        str(Path(sys.executable).with_name("snakemake")),
        *("--executor", "fallow", "--fallow-image", str(worker), "--software-deployment-method", "apptainer"),
        *("--default-storage-provider", "s3", "--default-storage-prefix", prefix, "--jobs", "50"),
    ]


def run_workflow(layout: Layout, directory: Path, worker: Path) -> Preemption | None:
    """Run the workflow as the demo's user; meanwhile one of its jobs loses its slot to a local job.

    Raises:
        FallowError: The workflow failed; the message names its log.
    """
    desk, env = layout.desk(), people.environment(layout, USER)
    storage = json.loads(desk.run([FALLOW, "storage", "--json"], env=env).stdout)
    desk.run([FALLOW, "storage", "put", "--to", FOLDER, "input"], env=env, directory=directory)
    argv = command(f"{storage['url']}/{FOLDER}", worker)
    click.echo(f"\n{USER} types, at the desk, in {directory}:\n  {shlex.join(argv)}\n", err=True)
    log = directory / "snakemake.log"
    taken: list[Preemption] = []
    thief = threading.Thread(target=_preempt, args=(layout, taken), daemon=True)
    with log.open("w") as stream:
        process = subprocess.Popen(
            desk.enter(argv, env=env, directory=directory),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        thief.start()
        try:
            follow(process, log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise FallowError(
            f"The workflow failed; the end of {log}:\n{tail}\n", remedy="See the log for the whole story."
        )
    desk.run([FALLOW, "storage", "get", "--from", FOLDER, "results"], env=env, directory=directory)
    thief.join(timeout=5)
    return taken[0] if taken else None


def follow(process: subprocess.Popen[bytes], log: Path) -> None:
    """Show how many of the workflow's steps are done until it ends."""
    console = Console(stderr=True)
    columns = (
        TextColumn("workflow"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("jobs,"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("workflow", total=None)
        shown = ""
        while process.poll() is None:
            steps = STEPS.findall(log.read_text(errors="replace"))
            if steps and steps[-1] != shown:
                shown = steps[-1]
                bar.update(task, completed=int(shown[0]), total=int(shown[1]))
                if not console.is_terminal:
                    click.echo(f"  {shown[0]} of {shown[1]} jobs done", err=True)
            time.sleep(0.2)


def show(layout: Layout, directory: Path, preempted: Preemption | None) -> None:
    """Print the tables and what to do next."""
    jobs = report.read_run(directory / ".snakemake" / "fallow")
    output.show(report.job_rows(jobs, preempted), report.JOB_COLUMNS, as_json=False, title="Jobs")
    rows = report.centre_rows(jobs, list(layout.spec.centres), layout.spec.users[USER].centre)
    output.show(rows, report.CENTRE_COLUMNS, as_json=False, title="Centres")
    if preempted is not None:
        click.echo(
            f"{preempted.name} lost its slot at {preempted.centre} to a local user's job and ran to its end elsewhere."
        )
    else:
        click.echo(
            "No job was preempted this time: the long ones were over before a local user asked for their nodes."
        )
    click.echo(
        f"\nResults: {directory / 'results'}\n"
        "Look further: .venv/bin/fallow testbed status; .venv/bin/fallow testbed shell hub; docs/tutorial/demo.md\n"
        "Take it down: make down"
    )


def _preempt(layout: Layout, taken: list[Preemption]) -> None:
    try:
        taken.append(local_users.take_back_first(layout, LONG_RULE, 120))
    except FallowError as error:
        click.echo(f"  no job was preempted: {error}", err=True)
