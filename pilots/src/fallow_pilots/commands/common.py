"""What the commands share: their options, the centre that they act for, and the pilots that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fallow.errors import UsageError
from fallow_pilots.centre import Centre
from fallow_pilots.policy import policy_path
from fallow_pilots.record import PilotRecord
from fallow_pilots.watch import KEPT, utc_now

with_policy = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    help="The centre's policy; else $FALLOW_POLICY, else /etc/fallow/policy.toml.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
some_pilots = click.argument("pilots", nargs=-1, metavar="[PILOT]...")


def open_centre(policy_file: Path | None) -> Centre:
    """The centre whose policy is at `policy_file`, or where it usually lies."""
    return Centre(policy_path(policy_file))


def chosen(centre: Centre, names: Sequence[str]) -> list[PilotRecord]:
    """The pilots of these names.

    Raises:
        UsageError: There is no such pilot.
    """
    known = {record.pilot: record for record in centre.store.records(utc_now() - KEPT)}
    for name in names:
        if name not in known:
            raise UsageError(f"There is no pilot {name}.", remedy="See `fallow pilot list`.")
    return [known[name] for name in names]
