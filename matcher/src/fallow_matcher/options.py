"""Options that the commands of `fallow hub` share."""

from __future__ import annotations

from pathlib import Path

import click

from fallow_matcher import settings as hub_settings

DEFAULT_OUT = Path("/etc/fallow/condor")

settings_option = click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path),
    default=hub_settings.DEFAULT_PATH,
    show_default=True,
    envvar="FALLOW_HUB_SETTINGS",
    help="The hub's settings file.",
)
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    show_default=True,
    envvar="FALLOW_HUB_CONDOR",
    help="Folder of the HTCondor configuration.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
