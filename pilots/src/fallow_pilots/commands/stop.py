"""The commands that take capacity back, and the one that gives it again: drain, withdraw, resume."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from fallow.errors import FallowError
from fallow.offers import OfferState
from fallow_pilots.centre import Centre
from fallow_pilots.commands.common import chosen, open_centre, some_pilots, with_policy
from fallow_pilots.halt import Halt, set_halt
from fallow_pilots.launcher import utc_now
from fallow_pilots.stopping import Progress, Stopper, eviction_s

log = logging.getLogger(__name__)


@click.command()
@some_pilots
@with_policy
def drain(pilots: tuple[str, ...], policy_file: Path | None) -> None:
    """Let pilots finish what they run and leave, without waiting; none named: all, and start no more."""
    centre = open_centre(policy_file)
    taken = _halt(centre, pilots, OfferState.DRAINING)
    left = _stopper(centre).drain(taken)
    click.echo(f"{len(left)} pilots were asked to leave; see `fallow pilot list`.")
    _publish(centre)


@click.command()
@some_pilots
@with_policy
@click.option("--now", is_flag=True, help="Let running work go back to the queue at once.")
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="Seconds that running work may take to finish.",
)
def withdraw(pilots: tuple[str, ...], policy_file: Path | None, now: bool, deadline_s: float) -> None:
    """Take the capacity of pilots (none named: all, and start no more) back; returns when it is free."""
    centre = open_centre(policy_file)
    taken = _halt(centre, pilots, OfferState.WITHDRAWN)
    last: list[Progress] = []

    def tell(progress: Progress) -> None:
        if not last or (progress.queued, progress.running) != (last[-1].queued, last[-1].running):
            click.echo(f"{progress.elapsed_s:6.1f} s: {progress.running} running, {progress.queued} queued")
        last.append(progress)

    if now:
        deadline_s = eviction_s(centre.policy.pilot.drain_grace_s)
    took_s = _stopper(centre).until_gone(taken, deadline_s, tell)
    click.echo(f"The capacity is free; it took {took_s:.1f} s.")
    _publish(centre)


def _stopper(centre: Centre) -> Stopper:
    evict_s = eviction_s(centre.policy.pilot.drain_grace_s)
    return Stopper(centre.launcher.look, centre.batch, centre.store, evict_s)


def _halt(centre: Centre, names: tuple[str, ...], state: OfferState) -> set[str] | None:
    if names:
        return {record.pilot for record in chosen(centre, names)}
    set_halt(centre.store, Halt(state, utc_now()))
    return None


def _publish(centre: Centre) -> None:
    """Show the new state at the hub at once; without the hub the old offer expires by itself."""
    view = centre.launcher.look()
    decision = centre.launcher.decide(view, centre.credentials.remembered())
    try:
        centre.hub.publish_offer(centre.policy.identity.centre, centre.launcher.offer(view, decision, 0))
    except FallowError as error:
        log.warning("the hub does not know yet: %s", error)


@click.command()
@with_policy
def resume(policy_file: Path | None) -> None:
    """Let the launcher start pilots again after `drain` or `withdraw`."""
    centre = open_centre(policy_file)
    set_halt(centre.store, None)
    click.echo("The launcher starts pilots again as the policy says.")
    _publish(centre)
