"""`fallow campaign …`: inject, watch and steer batches of jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fallow.errors import UsageError
from fallow.output import console, keep_showing, show

if TYPE_CHECKING:
    from fallow.campaigns.client import CampaignClient
    from fallow.campaigns.messages import Selection
    from fallow.campaigns.plan import Prepared

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
where_option = click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only rows of this stage, state, centre, class, signature, exit or id; may be given several times.",
)
document_argument = click.argument("document", type=click.Path(dir_okay=False, path_type=Path))

_KEYS = {
    "stage": "stage",
    "state": "state",
    "centre": "centre",
    "class": "failure",
    "signature": "signature",
    "exit": "exit_code",
}


@click.group()
def campaign() -> None:
    """Inject, watch and steer production campaigns: a document and a table of 10^2 to 10^6 rows."""


@campaign.command()
@document_argument
@click.option("--offline", is_flag=True, help="Look at the document and its table only.")
@json_option
def check(document: Path, offline: bool, as_json: bool) -> None:
    """Check DOCUMENT and every row of its table, show a sample, and ask the hub who could take it."""
    from fallow.campaigns.check import report
    from fallow.client import client_settings

    prepared = _prepared(document)
    found = report(prepared, None) if offline else report(prepared, _hub(), client_settings().ca_file)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [{**one, "command": " ".join(one["command"])} for one in found["sample"]]
    show(rows, ["stage", "id", "command", "outputs"], as_json=False, title="The first row of each stage")
    if found["offers"]:
        show(found["offers"], ["stage", "centre", "fits", "words"], as_json=False, title="Who could take it")
    for line in found["remarks"]:
        click.echo(line)
    click.echo(f"{found['rows']} rows in {len(prepared.plan.stages)} stages; nothing was injected.")


@campaign.command()
@document_argument
@json_option
def inject(document: Path, as_json: bool) -> None:
    """Inject DOCUMENT: only the rows that the hub has not yet. Interrupted, or grown: run it again."""
    from rich.progress import Progress

    from fallow.client import client_settings, connect
    from fallow.queue.images import publish

    prepared = _prepared(document)
    settings = client_settings()
    hub = connect(settings)
    for digest, path in prepared.images.items():
        publish(hub, path, digest, ca_file=settings.ca_file)
    total = sum(len(rows) for rows in prepared.rows)
    screen = console()
    with Progress(console=screen, transient=True, disable=as_json or not screen.is_terminal) as bar:
        task = bar.add_task("rows", total=total)
        added, status = _client(hub).inject(prepared, lambda count: bar.advance(task, count))
    if as_json:
        found = {
            "added": added.added,
            "known": added.known,
            "campaign": status.campaign.model_dump(mode="json"),
        }
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(f"{prepared.plan.name}: {added.added} rows injected, {added.known} were there already.")


@campaign.command(name="list")
@json_option
def list_campaigns(as_json: bool) -> None:
    """List your campaigns, the latest first."""
    from fallow.campaigns.views import campaign_row

    rows = [campaign_row(one) for one in _client().campaigns()]
    columns = ["name", "state", "rows", "done", "failed", "done_percent", "priority", "deadline", "reason"]
    show(rows, columns, as_json=as_json)


@campaign.command()
@click.argument("name")
@click.option("--watch", is_flag=True, help="Show it until nothing of it moves any more.")
@click.option("--every", type=click.FloatRange(0.5, 600), default=2, show_default=True, help="Seconds.")
@json_option
def status(name: str, watch: bool, every: float, as_json: bool) -> None:
    """Show how far the campaign NAME is: by state, centre and failure."""
    from fallow.campaigns.views import over, pictured

    client = _client()
    if as_json:
        click.echo(client.status(name).model_dump_json(indent=2))
    elif watch:
        keep_showing(lambda: client.status(name), pictured, every_s=every, over=over)
    else:
        console().print(pictured(client.status(name)))


@campaign.command()
@click.argument("name")
@where_option
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="The most rows to list."
)
@json_option
def jobs(name: str, where: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List rows of the campaign NAME with what became of them."""
    from itertools import islice

    found = islice(_client().rows(name, _selection(where)), limit)
    rows = [{"class": one.failure, **one.model_dump(mode="json")} for one in found]
    columns = ["stage", "id", "state", "attempt", "job", "centre", "class", "signature", "wall_s", "reason"]
    show(rows, columns, as_json=as_json)


@campaign.command()
@click.argument("name")
@click.argument("row")
@click.option("--stage", help="Its stage; default: the last one that left something.")
@click.option("--attempt", type=click.IntRange(1), help="Default: the last one that left something.")
@json_option
def logs(name: str, row: str, stage: str | None, attempt: int | None, as_json: bool) -> None:
    """Print the end of what ROW (its id) of the campaign NAME wrote to stdout and stderr."""
    found = _client().log(name, row, stage=stage, attempt=attempt)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    if found.truncated:
        click.echo("fallow: only the end is kept.", err=True)
    click.echo(found.stdout, nl=False)
    click.echo(found.stderr, nl=False, err=True)


@campaign.command()
@click.argument("name")
@where_option
@click.option(
    "--get", "into", type=click.Path(file_okay=False, path_type=Path), help="Fetch them into a folder."
)
@json_option
def outputs(name: str, where: tuple[str, ...], into: Path | None, as_json: bool) -> None:
    """List the outputs of the rows of NAME that are done, or fetch them."""
    from fallow.campaigns.outputs import fetch

    rows = [
        {"stage": one.stage, "id": one.id, **file.model_dump()}
        for one in _client().rows(name, _selection((*where, "state=done")))
        for file in one.outputs
    ]
    if into is not None:
        fetch(rows, into)
    show(rows, ["stage", "id", "url", "bytes", "sha256"], as_json=as_json)


@campaign.command()
@click.argument("name")
@json_option
def pause(name: str, as_json: bool) -> None:
    """Start nothing more of the campaign NAME; what runs goes on."""
    _say(name, "paused; {} rows wait", _client().pause(name), as_json)


@campaign.command()
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """Go on with the campaign NAME."""
    _say(name, "goes on; {} rows wait", _client().resume(name), as_json)


@campaign.command(name="set")
@click.argument("name")
@click.option("--stage", help="The stage whose resources change; default: all.")
@click.option("--priority", type=int, help="Which of your campaigns goes first: the greater one.")
@click.option("--cores", type=int)
@click.option("--memory-mb", type=int)
@click.option("--disk-mb", type=int)
@click.option("--walltime-s", type=int)
@click.option("--max-waiting", type=int, help="How many of its jobs wait in the queue at once.")
@json_option
def set_(name: str, as_json: bool, **wanted: Any) -> None:
    """Change priority or resources of what has not started of the campaign NAME."""
    from fallow.campaigns.messages import Change

    _say(name, "changed for {} rows", _client().change(name, _model(Change, wanted)), as_json)


@campaign.command()
@click.argument("name")
@click.option("--failed", is_flag=True, help="The rows that failed (the default).")
@where_option
@json_option
def retry(name: str, failed: bool, where: tuple[str, ...], as_json: bool) -> None:
    """Run rows of the campaign NAME again that failed."""
    chosen = _selection((*where, "state=failed") if failed else where)
    _say(name, "{} rows run again", _client().retry(name, chosen), as_json)


@campaign.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def cancel(name: str, yes: bool, as_json: bool) -> None:
    """End the campaign NAME: what waits never starts, what runs is stopped."""
    if not yes:
        click.confirm(f"Cancel {name} for good?", abort=True, err=True)
    _say(name, "cancelled; {} rows had not ended", _client().cancel(name), as_json)


@campaign.command()
@click.argument("name")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots.")
@json_option
def report(name: str, html: Path | None, as_json: bool) -> None:
    """Sum the campaign NAME up: rows, time, centres, failures."""
    from fallow.campaigns.report import page, summary

    found = summary(_client(), name)
    if html is not None:
        html.write_text(page(found), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif html is not None:
        click.echo(html)
    else:
        show([found["totals"]], list(found["totals"]), as_json=False, title=name)


def _prepared(path: Path) -> Prepared:
    from fallow.campaigns.document import read
    from fallow.campaigns.plan import prepare
    from fallow.images.client import ImageClient
    from fallow.queue.images import Digests, cache_file

    return prepare(
        read(path),
        path.parent,
        Digests(cache_file()).of,
        lambda tag: ImageClient(_hub()).resolve(tag),
        lambda digest: ImageClient(_hub()).architecture(digest),
    )


def _hub() -> Any:
    from fallow.client import connect

    return connect()


def _client(hub: Any = None) -> CampaignClient:
    from fallow.campaigns.client import CampaignClient

    return CampaignClient(hub or _hub())


def _selection(where: tuple[str, ...]) -> Selection:
    from fallow.campaigns.messages import Selection

    wanted: dict[str, Any] = {"ids": []}
    for clause in where:
        key, equals, value = clause.partition("=")
        if not equals or key not in {*_KEYS, "id"}:
            raise UsageError(
                f"{clause!r} is no condition.", remedy=f"Write KEY=VALUE; keys: {', '.join(_KEYS)}, id."
            )
        if key == "id":
            wanted["ids"].append(value)
        elif wanted.setdefault(_KEYS[key], value) != value:
            raise UsageError(f"{key} cannot be two things.", remedy="Ask for one at a time.")
    chosen: Selection = _model(Selection, wanted)
    return chosen


def _model(model: Any, wanted: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return model.model_validate(wanted)
    except ValidationError as error:
        said = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_url=False))
        raise UsageError(f"{said}.", remedy="Mend the options named.") from error


def _say(name: str, words: str, rows: int, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"campaign": name, "rows": rows}))
    else:
        click.echo(f"{name}: {words.format(rows)}.")
