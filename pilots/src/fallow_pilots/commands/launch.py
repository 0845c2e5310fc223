"""`fallow pilot run` and what starts it by itself."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

import click

from fallow_pilots.centre import Centre
from fallow_pilots.commands.common import open_centre, with_policy
from fallow_pilots.loop import AlreadyRunningError, only_one, repeat
from fallow_pilots.policy import policy_path, read_policy
from fallow_pilots.units import cron_line, systemd_unit
from fallow_pilots.watch import utc_now

log = logging.getLogger(__name__)


@click.command()
@with_policy
@click.option("--once", is_flag=True, help="One cycle only, for cron.")
@click.option("--dry-run", is_flag=True, help="Say what would be submitted, and start nothing.")
@click.option(
    "--interval-s", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Time between cycles."
)
def run(policy_file: Path | None, once: bool, dry_run: bool, interval_s: float) -> None:
    """Start pilots as the policy says, for as long as this runs."""
    centre = open_centre(policy_file)
    if dry_run:
        _dry_run(centre)
        return
    try:
        with only_one(centre.layout.lock):
            if once:
                centre.launcher.cycle(interval_s)
            else:
                repeat(lambda: _cycle(centre, interval_s), interval_s)
    except AlreadyRunningError as error:
        if not once:
            raise
        log.info("%s", error)  # an earlier call from cron is still at it


def _cycle(centre: Centre, interval_s: float) -> None:
    centre.reload()
    centre.launcher.cycle(interval_s)


def _dry_run(centre: Centre) -> None:
    launcher, now = centre.launcher, utc_now()
    decision = launcher.decide(launcher.look(), centre.credentials.refresh(now))
    click.echo(f"{decision.launch} pilots would start; limited by {decision.clause}: {decision.reason}")
    for launch in [one for one in decision.launches if one.count] or [decision.main]:
        job = launcher.job(f"{centre.policy.identity.centre}-N", launch.lot, decision.closes)
        click.echo(f"# at {now:%Y-%m-%d %H:%M:%S} UTC, for each pilot N of {launch.count}:")
        click.echo(shlex.join(centre.batch.submit_argv(job)))
        click.echo(f"# where {job.script} is:")
        click.echo(centre.batch.script(job), nl=False)


@click.command()
@with_policy
@click.option("--cron", is_flag=True, help="A line for crontab instead.")
def unit(policy_file: Path | None, cron: bool) -> None:
    """Print a systemd unit that runs the launcher."""
    path = policy_path(policy_file)
    becomes_people = path.exists() and bool(read_policy(path).accounts.people)
    click.echo(
        cron_line(path) if cron else systemd_unit(path, becomes_people=becomes_people),
        nl=False,
    )
