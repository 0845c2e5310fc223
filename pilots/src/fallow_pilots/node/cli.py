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
def node(spec_path: Path) -> None:
    """Run one pilot on this node until it is idle, asked to leave, or at its end.

    USR1: take nothing new, let what runs finish. TERM: give back what runs to the queue and leave.
    """
    from fallow_pilots.node.pilot import run
    from fallow_pilots.node.signals import Signals

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    signals = Signals()
    signals.install()
    sys.exit(run(spec_path, signals))


def main() -> None:
    """Run the command line; a `FallowError` becomes one sentence on standard error and its exit code."""
    try:
        node(standalone_mode=True)
    except FallowError as error:
        click.echo(f"fallow-pilot-node: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
