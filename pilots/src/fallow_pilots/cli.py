"""`fallow pilot`: what a site admin does with the centre's pilots."""

from __future__ import annotations

import json
import logging
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, TypeVar

import click

from fallow.errors import FallowError, UsageError
from fallow.offers import OfferState
from fallow.output import show
from fallow_pilots.centre import Centre
from fallow_pilots.checks import run_checks
from fallow_pilots.halt import Halt, read_halt, set_halt
from fallow_pilots.launcher import CYCLE, KEPT, utc_now
from fallow_pilots.loop import AlreadyRunningError, only_one, repeat
from fallow_pilots.outcome import printable
from fallow_pilots.policy import policy_path
from fallow_pilots.record import PilotRecord
from fallow_pilots.stopping import Progress, Stopper, eviction_s
from fallow_pilots.units import cron_line, systemd_unit

log = logging.getLogger(__name__)

LOG_TAIL_BYTES = 64_000

F = TypeVar("F", bound=Callable[..., Any])

with_policy = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    help="The centre's policy; else $FALLOW_POLICY, else /etc/fallow/policy.toml.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
some_pilots = click.argument("pilots", nargs=-1, metavar="[PILOT]...")


def _open(policy_file: Path | None) -> Centre:
    return Centre(policy_path(policy_file))


@click.group()
def pilot() -> None:
    """Give a centre's spare capacity to the federation, and take it back."""


@pilot.command()
@with_policy
@click.option("--once", is_flag=True, help="One cycle only, for cron.")
@click.option("--dry-run", is_flag=True, help="Say what would be submitted, and start nothing.")
@click.option(
    "--interval-s", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Time between cycles."
)
def run(policy_file: Path | None, once: bool, dry_run: bool, interval_s: float) -> None:
    """Start pilots as the policy says, for as long as this runs."""
    centre = _open(policy_file)
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
    decision = launcher.decide(launcher.look(), centre.credentials.remembered())
    click.echo(f"{decision.launch} pilots would start; limited by {decision.clause}: {decision.reason}")
    job = launcher.job(f"{centre.policy.identity.centre}-N", decision)
    click.echo(f"# at {now:%Y-%m-%d %H:%M:%S} UTC, for each pilot N:")
    click.echo(shlex.join(centre.batch.submit_argv(job)))
    click.echo(f"# where {job.script} is:")
    click.echo(centre.batch.script(job), nl=False)


@pilot.command()
@with_policy
@as_json
def check(policy_file: Path | None, as_json: bool) -> None:
    """Say whether host, policy, token, hub and batch system are fit, and what to do where they are not."""
    findings = run_checks(policy_path(policy_file))
    rows = [asdict(finding) for finding in findings]
    show(rows, ["check", "fit", "finding", "remedy"], as_json=as_json)
    if not all(finding.fit for finding in findings):
        raise SystemExit(1)


@pilot.command()
@with_policy
@as_json
def offer(policy_file: Path | None, as_json: bool) -> None:
    """Say what would be offered now, and which clause of the policy limits it."""
    centre = _open(policy_file)
    view = centre.launcher.look()
    decision = centre.launcher.decide(view, centre.credentials.remembered(view.trouble))
    caps = [asdict(cap) for cap in sorted(decision.caps, key=lambda cap: cap.allows)]
    if as_json:
        document = centre.launcher.offer(view, decision, 0).model_dump(mode="json")
        limit = {"launch": decision.launch, "clause": decision.clause, "reason": decision.reason}
        click.echo(json.dumps({"offer": document, "now": limit, "caps": caps}, indent=2))
        return
    show(caps, ["clause", "allows", "reason"], as_json=False)
    click.echo(f"{decision.launch} pilots would start now; limited by {decision.clause}: {decision.reason}")


@pilot.command()
@with_policy
@as_json
def status(policy_file: Path | None, as_json: bool) -> None:
    """Say how the centre stands: pilots, what limits them, the last cycle, hub and batch system."""
    centre = _open(policy_file)
    view = centre.launcher.look()
    halt = read_halt(centre.store)
    last = json.loads(centre.store.recall(CYCLE) or "{}")
    joining = centre.credentials.remembered()
    states = [record.state.value for record in view.records]
    facts = {
        "centre": centre.policy.identity.centre,
        "state": halt.state.value if halt else OfferState.OPEN.value,
        "queued": sum(states.count(state) for state in ("intent", "queued")),
        "running": states.count("running"),
        "max_pilots": centre.policy.limits.max_pilots,
        "last_cycle": last.get("at"),
        "launched": last.get("launched"),
        "limited_by": last.get("clause"),
        "because": last.get("reason"),
        "hub": last.get("hub_trouble") or "answers",
        "batch_system": view.trouble or "answers",
        "token_until": joining.token_until.isoformat() if joining.token_until else None,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        show(
            [{"what": name, "value": value} for name, value in facts.items()],
            ["what", "value"],
            as_json=False,
        )


@pilot.command("list")
@with_policy
@as_json
def list_pilots(policy_file: Path | None, as_json: bool) -> None:
    """List the pilots of the last two weeks, the newest first."""
    centre = _open(policy_file)
    view = centre.launcher.look()
    if view.trouble:
        click.echo(
            f"The batch system does not answer: {view.trouble} This is what was known before.", err=True
        )
    rows = [_row(record) for record in reversed(view.records)]
    columns = ["pilot", "state", "native_id", "node", "started", "ended", "code", "jobs_run", "reason"]
    show(rows, columns, as_json=as_json)


def _row(record: PilotRecord) -> dict[str, Any]:
    row = asdict(record)
    row["state"] = record.state.value
    for name in ("submitted", "started", "ended", "absent_since", "asked_to_stop"):
        row[name] = row[name].strftime("%Y-%m-%dT%H:%M:%SZ") if row[name] else None
    return row


@pilot.command("log")
@click.argument("name", metavar="PILOT")
@with_policy
@as_json
def log_of(name: str, policy_file: Path | None, as_json: bool) -> None:
    """Show what one pilot wrote, and how it ended."""
    centre = _open(policy_file)
    record = _chosen(centre, [name])[0]
    path = centre.layout.log(record.pilot)
    text = ""
    if path.exists():
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            text = printable(stream.read().decode(errors="replace"))
    if as_json:
        click.echo(json.dumps({**_row(record), "log": text}, indent=2))
        return
    click.echo(text, nl=not text.endswith("\n"))
    click.echo(f"{record.pilot}: {record.state.value}, code {record.code}. {record.reason or ''}")


def _chosen(centre: Centre, names: list[str] | tuple[str, ...]) -> list[PilotRecord]:
    known = {record.pilot: record for record in centre.store.records(utc_now() - KEPT)}
    for name in names:
        if name not in known:
            raise UsageError(f"There is no pilot {name}.", remedy="See `fallow pilot list`.")
    return [known[name] for name in names]


@pilot.command()
@some_pilots
@with_policy
def drain(pilots: tuple[str, ...], policy_file: Path | None) -> None:
    """Let pilots finish what they run and leave, without waiting; none named: all, and start no more."""
    centre = _open(policy_file)
    chosen = _halt(centre, pilots, OfferState.DRAINING)
    left = _stopper(centre).drain(chosen)
    click.echo(f"{len(left)} pilots were asked to leave; see `fallow pilot list`.")
    _publish(centre)


@pilot.command()
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
    centre = _open(policy_file)
    chosen = _halt(centre, pilots, OfferState.WITHDRAWN)
    last: list[Progress] = []

    def tell(progress: Progress) -> None:
        if not last or (progress.queued, progress.running) != (last[-1].queued, last[-1].running):
            click.echo(f"{progress.elapsed_s:6.1f} s: {progress.running} running, {progress.queued} queued")
        last.append(progress)

    if now:
        deadline_s = eviction_s(centre.policy.pilot.drain_grace_s)
    took_s = _stopper(centre).until_gone(chosen, deadline_s, tell)
    click.echo(f"The capacity is free; it took {took_s:.1f} s.")
    _publish(centre)


def _stopper(centre: Centre) -> Stopper:
    evict_s = eviction_s(centre.policy.pilot.drain_grace_s)
    return Stopper(centre.launcher.look, centre.batch, centre.store, evict_s)


def _halt(centre: Centre, names: tuple[str, ...], state: OfferState) -> set[str] | None:
    if names:
        return {record.pilot for record in _chosen(centre, names)}
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


@pilot.command()
@with_policy
def resume(policy_file: Path | None) -> None:
    """Let the launcher start pilots again after `drain` or `withdraw`."""
    centre = _open(policy_file)
    set_halt(centre.store, None)
    click.echo("The launcher starts pilots again as the policy says.")
    _publish(centre)


@pilot.command()
@with_policy
@click.option("--cron", is_flag=True, help="A line for crontab instead.")
def unit(policy_file: Path | None, cron: bool) -> None:
    """Print a systemd unit that runs the launcher."""
    path = policy_path(policy_file)
    click.echo(cron_line(path) if cron else systemd_unit(path), nl=False)
