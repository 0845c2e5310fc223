"""The commands that take capacity back, and the one that gives it again: drain, withdraw, resume."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import click

from fallow.errors import FallowError
from fallow_pilots.centre import Centre
from fallow_pilots.commands.common import chosen, open_centre, some_pilots, with_policy
from fallow_pilots.halt import Halt, allow, read_halt, set_halt
from fallow_pilots.loop import holder
from fallow_pilots.order import Wish
from fallow_pilots.stopping import Progress
from fallow_pilots.watch import utc_now

log = logging.getLogger(__name__)

NOW_S = 20.0
"""How long `withdraw --now` lets pilots give their work back before they are removed."""


@click.command()
@some_pilots
@with_policy
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0),
    help="Seconds after which the launcher removes what is still there; else pilots stay until their work ends.",
)
def drain(pilots: tuple[str, ...], policy_file: Path | None, deadline_s: float | None) -> None:
    """Let pilots finish what they run and leave, without waiting for it.

    None named: all, and no new one starts until `resume`. Some named: as many fewer may be here until then.
    """
    centre = open_centre(policy_file)
    taken = _halt(centre, pilots, Wish.DRAIN, deadline_s)
    leave_by = None if deadline_s is None else utc_now() + timedelta(seconds=deadline_s)
    left = centre.launcher.stopper.drain(taken, leave_by)
    click.echo(f"{len(left)} pilots were asked to leave; see `fallow pilot list`.")
    if left and leave_by is not None and holder(centre.layout.lock) is None:
        click.echo("No launcher runs that would remove them at the deadline: start one.", err=True)
    _publish(centre)


@click.command()
@some_pilots
@with_policy
@click.option("--now", is_flag=True, help="Let running work go back to the queue at once: it takes seconds.")
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="Seconds that running work may take to finish.",
)
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=0),
    default=120.0,
    show_default=True,
    help="Seconds that the batch system may take after the deadline to confirm that all is free.",
)
def withdraw(
    pilots: tuple[str, ...], policy_file: Path | None, now: bool, deadline_s: float, patience_s: float
) -> None:
    """Take capacity back; returns when the batch system confirms that it is free, with exit code 5 if it does not.

    None named: all, and no new one starts until `resume`. Some named: as many fewer may be here until then.
    An interrupted command leaves the rest to the launcher.
    """
    centre = open_centre(policy_file)
    if now:
        deadline_s = min(deadline_s, NOW_S)
    taken = _halt(centre, pilots, Wish.WITHDRAW, deadline_s)
    last: list[Progress] = []

    def tell(progress: Progress) -> None:
        if not last or (progress.queued, progress.running) != (last[-1].queued, last[-1].running):
            click.echo(f"{progress.elapsed_s:6.1f} s: {progress.running} running, {progress.queued} queued")
        last.append(progress)

    took_s = centre.launcher.stopper.until_gone(taken, deadline_s, patience_s, tell)
    click.echo(f"The capacity is free; it took {took_s:.1f} s.")
    _publish(centre)


def _halt(centre: Centre, names: tuple[str, ...], wish: Wish, deadline_s: float | None) -> set[str] | None:
    """Stop launches, or those that would take the place of the named pilots; returns which pilots are to leave."""
    now = utc_now()
    leave_by = None if deadline_s is None else now + timedelta(seconds=deadline_s)
    if not names:
        set_halt(centre.store, Halt(wish, now, leave_by))
        return None
    named = {record.pilot for record in chosen(centre, names)}
    before = read_halt(centre.store)
    if before is None or before.ceiling is not None:
        records = centre.launcher.watch.pilots().records
        staying = sum(
            record.active and record.asked_to_stop is None and record.pilot not in named for record in records
        )
        set_halt(centre.store, Halt(wish, now, leave_by, ceiling=staying))
    return named


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
    """Let the launcher start pilots again after `drain` or `withdraw`; those that were asked to leave still do.

    It ends a back-off, too: pilots that were of no use until now no longer slow the launcher down.
    """
    centre = open_centre(policy_file)
    allow(centre.store, utc_now())
    click.echo("The launcher starts pilots again as the policy says.")
    _publish(centre)
