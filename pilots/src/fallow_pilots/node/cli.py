"""The command `fallow-pilot-node`, which the batch job runs on a compute node."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from fallow.errors import FallowError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--spec",
    "spec_path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The pilot's specification, written by the launcher.",
)
@click.option("--check", is_flag=True, help="Look at this node only, and print what was found as JSON.")
def node(spec_path: Path, check: bool) -> None:
    """Run one pilot on this node until it is idle, asked to leave, or at its end.

    USR1: take nothing new, let what runs finish. TERM: give back what runs to the queue and leave.
    """
    from fallow_pilots.node import pilot
    from fallow_pilots.node.signals import Signals

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    if check:
        found = pilot.check(spec_path)
        click.echo(found.model_dump_json(indent=1))
        sys.exit(0 if found.fit else 1)
    signals = Signals()
    signals.install()
    sys.exit(pilot.run(spec_path, signals))


def main() -> None:
    """Run the command line; a `FallowError` becomes one sentence on standard error and its exit code."""
    try:
        node(standalone_mode=True)
    except FallowError as error:
        click.echo(f"fallow-pilot-node: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
