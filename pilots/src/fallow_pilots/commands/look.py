"""The commands that look and change nothing: check, offer, status, list, log."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fallow.offers import OfferState
from fallow.output import show
from fallow_pilots.checks import run_checks
from fallow_pilots.commands.common import as_json, chosen, open_centre, with_policy
from fallow_pilots.halt import read_halt
from fallow_pilots.launcher import CYCLE
from fallow_pilots.outcome import printable
from fallow_pilots.policy import policy_path
from fallow_pilots.record import PilotRecord

LOG_TAIL_BYTES = 64_000


@click.command()
@with_policy
@as_json
def check(policy_file: Path | None, as_json: bool) -> None:
    """Say whether host, policy, token, hub and batch system are fit, and what to do where they are not."""
    findings = run_checks(policy_path(policy_file))
    rows = [asdict(finding) for finding in findings]
    show(rows, ["check", "fit", "finding", "remedy"], as_json=as_json)
    if not all(finding.fit for finding in findings):
        raise SystemExit(1)


@click.command()
@with_policy
@as_json
def offer(policy_file: Path | None, as_json: bool) -> None:
    """Say what would be offered now, and which clause of the policy limits it."""
    centre = open_centre(policy_file)
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
    columns = ["pilot", "state", "native_id", "node", "started", "ended", "code", "jobs_run", "reason"]
    show(rows, columns, as_json=as_json)


def _row(record: PilotRecord) -> dict[str, Any]:
    row = asdict(record)
    row["state"] = record.state.value
    for name in ("submitted", "started", "ended", "absent_since", "asked_to_stop"):
        row[name] = row[name].strftime("%Y-%m-%dT%H:%M:%SZ") if row[name] else None
    return row


@click.command("log")
@click.argument("name", metavar="PILOT")
@with_policy
@as_json
def log_of(name: str, policy_file: Path | None, as_json: bool) -> None:
    """Show what one pilot wrote, and how it ended."""
    centre = open_centre(policy_file)
    record = chosen(centre, [name])[0]
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
