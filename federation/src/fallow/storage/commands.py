"""`fallow storage`: where a user's files are, and how other programs reach them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from fallow.output import show


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def storage(context: click.Context, as_json: bool) -> None:
    """Show your storage in the federation: endpoint, bucket, prefix; never the keys."""
    if context.invoked_subcommand is not None:
        return
    from fallow.client import connect

    access = connect().storage()
    row = {
        "endpoint": access.endpoint,
        "region": access.region,
        "bucket": access.bucket,
        "prefix": access.prefix,
        "url": f"s3://{access.bucket}/{access.prefix}".rstrip("/"),
        "credentials_expire": access.expires.isoformat(),
    }
    if as_json:
        click.echo(json.dumps(row, indent=2))
    else:
        show([row], ["endpoint", "url", "credentials_expire"], as_json=False)


@storage.command()
def env() -> None:
    """Print shell commands after which AWS clients use your storage: eval "$(fallow storage env)".

    They hold no secret: the configuration file they point to names a command that gets short-lived keys.
    """
    from fallow.client import client_settings, connect
    from fallow.storage.environment import environment

    settings = client_settings()
    for name, value in environment(connect(settings).storage(), settings).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@storage.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", default="", help="Folder in your storage; default: its top.")
def put(files: tuple[Path, ...], to: str) -> None:
    """Upload FILES, and directories with all below them, under their relative names."""
    from fallow.client import client_settings, connect
    from fallow.storage.transfer import upload

    settings = client_settings()
    count = upload(connect(settings).storage(), files, to, ca_file=settings.ca_file)
    click.echo(f"{count} files uploaded.", err=True)


@storage.command()
@click.argument("names", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--from", "source", default="", help="Folder in your storage; default: its top.")
def get(names: tuple[Path, ...], source: str) -> None:
    """Download files, and folders with all below them, to the same relative NAMES here."""
    from fallow.client import client_settings, connect
    from fallow.storage.transfer import download

    settings = client_settings()
    count = download(connect(settings).storage(), names, source, ca_file=settings.ca_file)
    click.echo(f"{count} files downloaded.", err=True)
