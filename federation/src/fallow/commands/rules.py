"""`fallow rules …`: the rules in force, proposing others, approving them, and what they would change."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fallow.errors import UsageError

if TYPE_CHECKING:
    from fallow.rules.messages import OpenProposal, RulesReport

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def rules() -> None:
    """See, propose and approve the rules by which the centres share their capacity."""


@rules.command()
@click.argument("digest", required=False)
@click.option("--document", is_flag=True, help="Print the TOML document, to keep or to change.")
@json_option
def show(digest: str | None, document: bool, as_json: bool) -> None:
    """Show the rules in force and the open proposals, or, with DIGEST (or how it begins), one proposal."""
    from fallow.client import connect
    from fallow.rules import parse_rules
    from fallow.rules.changes import settings_of
    from fallow.rules.display import printable, show_changes, show_proposals, show_rows

    found = connect().rules()
    proposal = _proposal(found, digest) if digest else None
    text = proposal.document if proposal else found.document
    if document:
        click.echo(printable(text), nl=not text.endswith("\n"))
        return
    if as_json:
        click.echo((proposal or found).model_dump_json(indent=2))
        return
    click.echo(f"{'proposed' if proposal else 'in force'}  {(proposal or found).digest}")
    if proposal is None:
        click.echo(f"version   {found.version}, since {found.since:%Y-%m-%d %H:%M} UTC")
        click.echo(f"approved  by {', '.join(found.approved_by) or 'nobody'} of {', '.join(found.centres)}")
        show_rows(
            [{"setting": place, "value": value} for place, value in settings_of(parse_rules(text)).items()]
        )
        show_proposals(found)
    else:
        show_changes(found.document, text)


@rules.command()
@file_argument
@json_option
def propose(file: Path, as_json: bool) -> None:
    """Propose the rules in FILE (TOML) in the name of your centre. A proposal is no approval yet."""
    from fallow.client import connect
    from fallow.rules import digest_of
    from fallow.rules.display import show_changes
    from fallow.rules.document import read_rules

    document = read_rules(file)
    digest = digest_of(document)
    found = connect().propose_rules(document)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    show_changes(found.document, document)
    click.echo(f"proposed  {digest}")
    click.echo(f"{found.approvals_needed} of {len(found.centres)} centres have to run:")
    click.echo(f"  fallow rules approve {digest}")


@rules.command()
@click.argument("proposal", required=False)
@json_option
def diff(proposal: str | None, as_json: bool) -> None:
    """Show what PROPOSAL, a file or the digest of an open proposal, changes; left out, the only open one."""
    from fallow.client import connect
    from fallow.rules import parse_rules
    from fallow.rules.changes import changes
    from fallow.rules.display import show_changes
    from fallow.rules.document import read_rules

    named_file = proposal is not None and not proposal.startswith("sha256:")
    text = read_rules(Path(proposal or "")) if named_file else ""
    found = connect().rules()
    if not named_file:
        text = _proposal(found, proposal or "sha256:").document
    if as_json:
        rows = [
            dataclasses.asdict(change) for change in changes(parse_rules(found.document), parse_rules(text))
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        show_changes(found.document, text)


@rules.command()
@click.argument("digest")
@json_option
def approve(digest: str, as_json: bool) -> None:
    """Approve the proposal DIGEST in the name of your centre. Your token must have your centre's admin group."""
    from pydantic import TypeAdapter, ValidationError

    from fallow.client import connect
    from fallow.messages import Digest

    try:
        TypeAdapter(Digest).validate_python(digest)
    except ValidationError:
        raise UsageError(
            f"{digest} is no whole digest.", remedy="Copy it from `fallow rules show`: sha256: and 64 digits."
        ) from None
    hub = connect()
    before = hub.rules()
    for proposal in before.proposals:
        if proposal.digest == digest:
            _require_digest(proposal)
    found = hub.approve_rules(digest)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    elif found.digest == digest:
        click.echo(f"in force  version {found.version}, approved by {', '.join(found.approved_by)}")
    else:
        approved = next(each.approved_by for each in found.proposals if each.digest == digest)
        click.echo(
            f"approved  by {', '.join(approved)}; {found.approvals_needed} of {len(found.centres)} centres are needed"
        )


@rules.command()
@click.option(
    "--verify", is_flag=True, help="Check the whole chain, and that it continues what you saw before."
)
@json_option
def history(verify: bool, as_json: bool) -> None:
    """Show who proposed, who approved, and what took effect when.

    With --json, the entries as they were hashed: a copy to keep.
    """
    from fallow.client import client_settings, connect
    from fallow.rules.display import show_rows
    from fallow.rules.history import opened, replay
    from fallow.rules.seen import Memory

    lines = connect().rules_history()
    if verify:
        state = replay(lines)
        seen = Memory(client_settings().hub, os.environ).check(lines)
    if as_json:
        click.echo(json.dumps([line.model_dump() for line in lines], indent=2))
        return
    rows = []
    for seq, line in enumerate(lines, start=1):
        entry = opened(seq, line)
        who = f"{entry.by.sub} for {entry.by.centre}" if entry.by else ", ".join(entry.approved_by)
        what = f"version {entry.version} in force" if entry.version else entry.event.value
        rows.append(
            {
                "entry": entry.seq,
                "at": f"{entry.at:%Y-%m-%d %H:%M:%S}",
                "what": what,
                "who": who,
                "rules": entry.digest,
            }
        )
    show_rows(rows)
    if verify:
        click.echo(
            f"unbroken  {len(lines)} entries, {seen} of them seen before; version {state.version} in force: {state.digest}"
        )


@rules.command()
@file_argument
@json_option
def simulate(file: Path, as_json: bool) -> None:
    """Show what the rules in FILE would have changed for each centre, on the work that the hub has recorded.

    The hub runs the same jobs twice with the matcher's own policy: under the rules in force and under those in FILE.
    """
    from fallow.client import connect
    from fallow.rules.display import comparison, show_rows
    from fallow.rules.document import read_rules

    found = connect().simulate_rules(read_rules(file))
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    click.echo(found.load)
    show_rows(comparison(found))


def _proposal(found: RulesReport, digest: str) -> OpenProposal:
    """The one open proposal whose digest begins so, its document checked against it.

    Raises:
        UsageError: There is none, or more than one.
    """
    if not found.proposals:
        raise UsageError("No proposal is open.", remedy="Make one: fallow rules propose FILE")
    fitting = [each for each in found.proposals if each.digest.startswith(digest)]
    if len(fitting) != 1:
        listing = ", ".join(each.digest for each in found.proposals) or "none"
        raise UsageError(
            f"{len(fitting)} open proposals have a digest that begins with {digest}.",
            remedy=f"Open: {listing}.",
        )
    _require_digest(fitting[0])
    return fitting[0]


def _require_digest(proposal: OpenProposal) -> None:
    """Refuse a proposal whose document is not what its digest says, for the digest is what is approved."""
    from fallow.errors import RefusedError
    from fallow.rules import digest_of

    if digest_of(proposal.document) != proposal.digest:
        raise RefusedError(
            f"The hub shows a document that is not {proposal.digest}.",
            remedy="Ask the other centres; do not approve it.",
        )
