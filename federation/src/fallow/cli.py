"""The `fallow` command. Its subcommands are the entry points of the group `fallow.commands`, found when asked for."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import EntryPoint, entry_points

import click

from fallow import __version__
from fallow.errors import FallowError

GROUP = "fallow.commands"


def _installed() -> dict[str, EntryPoint]:
    if sys.version_info >= (3, 10):
        return {point.name: point for point in entry_points(group=GROUP)}
    return {point.name: point for point in entry_points().get(GROUP, [])}


class PartsGroup(click.Group):
    """A group whose commands live in the installed parts; a part is imported only when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the built-in commands and of those that installed parts offer."""
        return sorted({*super().list_commands(ctx), *_installed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; importing its part happens here."""
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        point = _installed().get(cmd_name)
        if point is None:
            return None
        command = point.load()
        if not isinstance(command, click.Command):
            raise FallowError(
                f"The entry point {point.value} is not a command.",
                remedy="Reinstall the part that offers it.",
            )
        return command


@click.group(cls=PartsGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fallow")
@click.option("-v", "--verbose", count=True, help="Say more on standard error; twice for debugging.")
def fallow(verbose: int) -> None:
    """Work with a Fallow federation: the spare capacity of independent HPC centres as one.

    Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 something needed is not there, 4 refused,
    5 not done in time.

    Completion in bash, likewise in zsh and fish: eval "$(_FALLOW_COMPLETE=bash_source fallow)"
    """
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def main() -> None:
    """Run the command line; a `FallowError` becomes one sentence on standard error and its exit code."""
    try:
        sys.exit(fallow(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FallowError as error:
        logging.getLogger(__name__).debug("failed", exc_info=error)
        click.echo(f"fallow: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("fallow: interrupted.", err=True)
        sys.exit(130)
