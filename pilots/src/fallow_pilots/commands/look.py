"""The commands that look and change nothing: check, offer, status, list, log."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from time import sleep
from typing import Any

import click

from fallow.errors import RefusedError, UsageError
from fallow.offers import OfferState
from fallow.output import show
from fallow_pilots.caps import Lot
from fallow_pilots.checks import run_checks
from fallow_pilots.commands.common import as_json, chosen, open_centre, with_policy
from fallow_pilots.conditions import conditions_of
from fallow_pilots.halt import read_halt
from fallow_pilots.launcher import CYCLE
from fallow_pilots.loop import holder
from fallow_pilots.outcome import printable
from fallow_pilots.policy import policy_path
from fallow_pilots.record import PilotRecord
from fallow_pilots.watch import utc_now

LOG_TAIL_BYTES = 64_000
FOLLOW_S = 1.0


@click.command()
@with_policy
@click.option(
    "--node/--no-node", "node", default=True, help="Have a node checked by a short job, or leave it out."
)
@click.option(
    "--wait-s",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="How long that job may take, for each shape of pilots.",
)
@as_json
def check(policy_file: Path | None, node: bool, wait_s: float, as_json: bool) -> None:
    """Say whether host, policy, token, hub, batch system and a node are fit, and what to do where they are not."""
    findings = run_checks(
        policy_path(policy_file), wait_s if node else None, lambda words: click.echo(words, err=True)
    )
    rows = [asdict(finding) for finding in findings]
    show(rows, ["check", "fit", "finding", "remedy"], as_json=as_json)
    proposed = list(dict.fromkeys(finding.line for finding in findings if finding.line))
    if proposed and not as_json:
        click.echo("\n".join(["For the policy's file, in front of its first table:", *proposed]))
    if not all(finding.fit for finding in findings):
        raise SystemExit(1)


@click.command()
@with_policy
@as_json
def offer(policy_file: Path | None, as_json: bool) -> None:
    """Say what would be offered now, and which clause of the policy limits it."""
    centre = open_centre(policy_file)
    view = centre.launcher.look()
    decision = centre.launcher.decide(view, centre.credentials.refresh(utc_now()))
    caps = [
        {"shape": _words(launch.lot), **asdict(cap)}
        for launch in decision.launches
        for cap in sorted(launch.caps, key=lambda cap: cap.allows)
    ]
    if as_json:
        document = centre.launcher.offer(view, decision, 0).model_dump(mode="json")
        limit = {"launch": decision.launch, "clause": decision.clause, "reason": decision.reason}
        click.echo(json.dumps({"offer": document, "now": limit, "caps": caps}, indent=2))
        return
    show(caps, ["shape", "clause", "allows", "reason"], as_json=False)
    for launch in decision.launches:
        click.echo(
            f"{launch.count} pilots of {_words(launch.lot)} would start now; "
            f"limited by {launch.limit.clause}: {launch.limit.reason}"
        )
    for clause in conditions_of(centre.policy):
        click.echo(f"{clause.name}: {clause.sentence}")


def _words(lot: Lot) -> str:
    shape = lot.shape
    gpus = f", {shape.gpus} {shape.gpu_model or ''} GPUs".replace("  ", " ") if shape.gpus else ""
    nodes = f" on each of {shape.nodes} nodes" if shape.nodes > 1 else ""
    return f"{shape.cores} cores, {shape.memory_mb} MB{gpus}{nodes} for {lot.walltime_s} s"


@click.command()
@with_policy
@as_json
def status(policy_file: Path | None, as_json: bool) -> None:
    """Say how the centre stands: pilots, what limits them, the last cycle, hub and batch system."""
    centre = open_centre(policy_file)
    view = centre.launcher.look()
    halt = read_halt(centre.store)
    last = json.loads(centre.store.recall(CYCLE) or "{}")
    joining = centre.credentials.remembered()
    states = [record.state.value for record in view.records]
    acts = holder(centre.layout.lock)
    facts = {
        "centre": centre.policy.identity.centre,
        "state": halt.state.value if halt else OfferState.OPEN.value,
        "launcher": acts or "not running",
        "queued": sum(states.count(state) for state in ("intent", "queued")),
        "running": states.count("running"),
        "max_pilots": centre.policy.limits.max_pilots,
        "last_cycle": last.get("at"),
        "launched": last.get("launched"),
        "limited_by": last.get("clause"),
        "because": last.get("reason"),
        "hub": _hub(last, joining.obstacle(utc_now())),
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


def _hub(last: dict[str, Any], obstacle: str | None) -> str:
    """What the last cycle found, and what follows from it."""
    if not last:
        return "not asked yet"
    if not last["hub_trouble"]:
        return "answers"
    goes_on = "The launcher keeps to its policy; pilots join when the hub is back."
    return f"{last['hub_trouble']} {obstacle or goes_on}"


@click.command("list")
@with_policy
@as_json
def list_pilots(policy_file: Path | None, as_json: bool) -> None:
    """List the pilots of the last two weeks, the newest first."""
    centre = open_centre(policy_file)
    view = centre.launcher.look()
    if view.trouble:
        click.echo(
            f"The batch system does not answer: {view.trouble} This is what was known before.", err=True
        )
    rows = [_row(record) for record in reversed(view.records)]
    columns = [
        "pilot",
        "state",
        "account",
        "native_id",
        "node",
        "started",
        "ended",
        "code",
        "jobs_run",
        "reason",
    ]
    show(rows, columns, as_json=as_json)


def _row(record: PilotRecord) -> dict[str, Any]:
    row = asdict(record)
    row["state"] = record.state.value
    row["wish"] = record.wish.value if record.wish else None
    for name in ("submitted", "started", "ended", "absent_since", "asked_to_stop", "leave_by"):
        row[name] = row[name].strftime("%Y-%m-%dT%H:%M:%SZ") if row[name] else None
    return row


@click.command("log")
@click.argument("name", metavar="PILOT")
@click.option("-f", "--follow", is_flag=True, help="Go on until the pilot has ended.")
@with_policy
@as_json
def log_of(name: str, follow: bool, policy_file: Path | None, as_json: bool) -> None:
    """Show what one pilot wrote, and how it ended."""
    if follow and as_json:
        raise UsageError("--follow and --json exclude each other: a log that goes on is no document.")
    centre = open_centre(policy_file)
    record = chosen(centre, [name])[0]
    if record.account is not None:
        raise RefusedError(
            f"{record.pilot} is a pilot of {record.account}'s, and so is its log.",
            remedy=f"{record.account} finds it below the directory that `fallow pilot consent --show` says.",
        )
    path = centre.layout.log(record.pilot)
    text, end = _tail(path, LOG_TAIL_BYTES)
    if as_json:
        click.echo(json.dumps({**_row(record), "log": text}, indent=2))
        return
    click.echo(text, nl=not text.endswith("\n"))
    while follow and record.active:
        sleep(FOLLOW_S)
        centre.launcher.watch.pilots()
        record = chosen(centre, [name])[0]
        more, end = _since(path, end)
        click.echo(more, nl=bool(more) and not more.endswith("\n"))
    click.echo(f"{record.pilot}: {record.state.value}, code {record.code}. {record.reason or ''}")


def _tail(path: Path, most_bytes: int) -> tuple[str, int]:
    """The end of a log from the start of a line, and where the file ends."""
    size = path.stat().st_size if path.exists() else 0
    text, end = _since(path, max(0, size - most_bytes))
    return (text.partition("\n")[2] if size > most_bytes else text), end


def _since(path: Path, start: int) -> tuple[str, int]:
    """What a log holds after `start` bytes, fit to show, and where it ends."""
    if not path.exists():
        return "", start
    with path.open("rb") as stream:
        stream.seek(start)
        found = stream.read()
    return printable(found.decode(errors="replace")), start + len(found)
