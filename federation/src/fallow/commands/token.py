"""`fallow token …`: look at the token in use, and get one for HTCondor."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fallow.errors import NotAvailableError


@click.group()
def token() -> None:
    """Look at your token, and get one for HTCondor's own tools."""


@token.command()
def show() -> None:
    """Print your token decoded: header and claims, never its signature."""
    from fallow.login.peek import peek
    from fallow.login.renewal import current

    found = current()
    header, claims = peek(found.token)
    click.echo(json.dumps({"source": found.source, "header": header, "claims": claims}, indent=2))


@token.command()
def path() -> None:
    """Print the file that holds your token, renewed if it is the stored login's.

    Other programs find it with: export BEARER_TOKEN_FILE=$(fallow token path)
    """
    from fallow.login.renewal import current

    found = current()
    if found.file is None:
        raise NotAvailableError(
            f"Your token is in no file: it is from {found.source}.",
            remedy="Unset BEARER_TOKEN to use the login.",
        )
    click.echo(found.file)


@token.command()
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: ~/.condor/tokens.d/fallow."
)
def condor(out: Path | None) -> None:
    """Exchange your token at the hub for an HTCondor token and print the file that holds it.

    It lets condor_q, condor_submit and their like work as you, for as long as it lasts.
    """
    from fallow.client import connect
    from fallow.files import private_directory, write_private
    from fallow.messages import SCOPE_USER

    given = connect().exchange(SCOPE_USER)
    if out is None:
        out = private_directory(Path.home() / ".condor" / "tokens.d") / "fallow"
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
    write_private(out, given.token + "\n")
    click.echo(out)
