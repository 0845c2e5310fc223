"""`fallow testbed`: a whole federation on one machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from fallow import output
from fallow_testbed.images.cli import images
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed, state_directory

name_option = click.option(
    "--name",
    default="demo",
    show_default=True,
    envvar="FALLOW_TESTBED",
    help="Which testbed, where several run.",
)


@click.group()
def testbed() -> None:
    """Play a federation on this machine: one hub, several centres, each with its own Slurm. Needs root."""


testbed.add_command(images)


@testbed.command()
@click.argument("declaration", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=DEFAULT)
@name_option
@click.option(
    "--keep-failed", is_flag=True, help="When something fails, leave the rest running to look at it."
)
def up(declaration: Path, name: str, keep_failed: bool) -> None:
    """Start the federation that DECLARATION describes (default: the demo's, with three centres)."""
    from fallow_testbed.images import testbed_layers

    progress = Progress()
    layers = testbed_layers()
    Testbed(state_directory(name)).up(declaration, layers, progress, keep_failed=keep_failed)
    click.echo("Up. Look: fallow testbed status. Take it down: fallow testbed down.", err=True)


@testbed.command()
@name_option
def down(name: str) -> None:
    """End everything that `up` started and delete its files; safe to repeat."""
    Testbed(state_directory(name)).down()


@testbed.command()
@name_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(name: str, as_json: bool) -> None:
    """Show every host, whether it runs, and how many processes it has."""
    rows = Testbed(state_directory(name)).status()
    output.show(rows, ["host", "role", "centre", "address", "running", "pid", "processes"], as_json=as_json)
    if not all(row["running"] for row in rows):
        sys.exit(1)


@testbed.command(name="exec", context_settings={"ignore_unknown_options": True})
@name_option
@click.option("--user", default="root", show_default=True, help="The account, or at the desk the person.")
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, user: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST. At the desk, the machine's own files and directory are seen."""
    sys.exit(_inside(name, host, user, command))


@testbed.command()
@name_option
@click.option("--user", default="root", show_default=True, help="The account, or at the desk the person.")
@click.argument("host")
def shell(name: str, user: str, host: str) -> None:
    """Open a shell on HOST."""
    sys.exit(_inside(name, host, user, ("bash", "-i")))


@testbed.command()
@name_option
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where the workflow and its results go; what is there is replaced.",
)
def demo(name: str, directory: Path) -> None:
    """Bring the demo's federation up and run a real workflow across its three centres."""
    from fallow_testbed.demo.run import run

    run(name, directory.absolute())


def _inside(name: str, host: str, user: str, command: tuple[str, ...]) -> int:
    from fallow_testbed import people

    bed = Testbed(state_directory(name))
    target = bed.host(host)
    env = people.environment(bed.layout(), user) if target.root == "machine" and user != "root" else None
    return subprocess.run(
        target.enter(command, user="root" if env else user, env=env), check=False
    ).returncode
