"""`fallow ledger …`: who gave, who used, how it counts, and whether hub and pilots agree."""

from __future__ import annotations

import csv
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from fallow.commands.words import month_option
from fallow.errors import UsageError

if TYPE_CHECKING:
    from fallow.ledger.messages import Key, Sum

KEYS = ("provider", "consumer", "user", "work_type", "resource_class", "outcome", "day", "month")
LATEST = 10_000_000_000
"""A moment after every other."""
TARGET = 0.001
"""The share by which two views of the same runs may differ."""

_SPAN = re.compile(r"(\d{1,6})([hdw])")
_UNIT_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def moment(context: click.Context, parameter: click.Parameter, value: str) -> int:  # noqa: ARG001 - click's order
    """Unix time for a date, a date with time (UTC unless it says otherwise), or a span such as `7d` before now."""
    if span := _SPAN.fullmatch(value):
        return int(time.time()) - int(span[1]) * _UNIT_S[span[2]]
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no moment; write 2026-11-01, 2026-11-01T12:00 or 7d."
        ) from error
    return int((found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp())


since_option = click.option(
    "--since", callback=moment, default="30d", show_default=True, help="Runs that ended from then on (UTC)."
)
until_option = click.option("--until", callback=moment, default="0h", help="Runs that ended before; now.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
centre_option = click.option("--centre", help="Only this centre.")


@click.group()
def ledger() -> None:
    """See what the centres gave and used, and check it."""


@ledger.command()
@centre_option
@json_option
@csv_option
def balance(centre: str | None, as_json: bool, as_csv: bool) -> None:
    """Show what each centre gave to others minus what it used of others, as it counts now."""
    from fallow.client import connect

    found = connect().balances()
    rows = [
        {
            "centre": each.centre,
            "resource_class": each.resource_class,
            "balance_h": _hours(each.balance),
            "contributed_h": _hours(each.contributed),
            "credit_line_h": _hours(each.credit_line),
            **{f"{name}_s": value for name, value in each.model_dump().items() if isinstance(value, float)},
        }
        for each in found.balances
        if centre in (None, each.centre)
    ]
    columns = ["centre", "resource_class", "balance_h", "contributed_h", "credit_line_h"]
    _show(rows, columns, as_json, as_csv)


@ledger.command()
@centre_option
@since_option
@until_option
@click.option("--by", multiple=True, type=click.Choice(KEYS), help="Sum up by this; may be repeated.")
@json_option
@csv_option
def usage(centre: str | None, since: int, until: int, by: Sequence[str], as_json: bool, as_csv: bool) -> None:
    """Show what the centres' jobs used, wherever they ran."""
    limits = {"consumer": centre} if centre else {}
    _sums(by or ("consumer",), since, until, limits, as_json, as_csv)


@ledger.command()
@centre_option
@since_option
@until_option
@click.option("--by", multiple=True, type=click.Choice(KEYS), help="Sum up by this; may be repeated.")
@json_option
@csv_option
def contribution(
    centre: str | None, since: int, until: int, by: Sequence[str], as_json: bool, as_csv: bool
) -> None:
    """Show what the centres gave to others; without --by also what their pilots offered."""
    limits: dict[str, str | bool] = {"lent": True, **({"provider": centre} if centre else {})}
    if by:
        _sums(by, since, until, limits, as_json, as_csv)
        return
    from fallow.client import connect
    from fallow.ledger.messages import Key

    hub = connect()
    gave = {each.group["provider"]: each for each in hub.usage([Key.PROVIDER], since, until, **limits).sums}
    offered = {each.centre: each for each in hub.pilots(since, until).centres}
    names = sorted({*gave, *offered} if centre is None else {centre} & {*gave, *offered})
    rows = []
    for name in names:
        given, own = gave.get(name), offered.get(name)
        rows.append(
            {
                "provider": name,
                "runs": given.runs if given else 0,
                "given_h": _hours(given.core_s if given else 0.0),
                "value_h": _hours(given.value if given else 0.0),
                "pilots": own.pilots if own else 0,
                "offered_h": _hours(own.offered_core_s if own else 0.0),
                "used_h": _hours(own.used_core_s if own else 0.0),
                "idle_h": _hours(own.idle_core_s if own else 0.0),
                "ends": " ".join(f"{code}:{count}" for code, count in sorted(own.ends.items()))
                if own
                else "",
            }
        )
    columns = ["provider", "runs", "given_h", "value_h", "pilots", "offered_h", "used_h", "idle_h", "ends"]
    _show(rows, columns, as_json, as_csv)


@ledger.command()
@since_option
@until_option
@json_option
@csv_option
def lines(since: int, until: int, as_json: bool, as_csv: bool) -> None:
    """Show every run in which your centre gave or used."""
    from fallow.client import connect

    rows = [line.model_dump(mode="json") for _, line in connect().ledger_lines(since, until)]
    columns = ["job", "run", "provider", "consumer", "user", "work_type", "cores", "gpus", "started", "wall_s",
               "outcome", "value", "reason"]  # fmt: skip
    _show(rows, columns, as_json, as_csv)


@ledger.command()
@since_option
@until_option
@json_option
def reconcile(since: int, until: int, as_json: bool) -> None:
    """Compare what the hub measured with what pilots reported; exit code 1 above 0.1 % difference."""
    from fallow.client import connect
    from fallow.output import show

    found = connect().reconciliation(since, until)
    worst = max((each.share for each in found.centres), default=0.0)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
    else:
        rows = [
            {**each.model_dump(), "share": f"{each.share:.4%}", "agree": each.share <= TARGET}
            for each in found.centres
        ]
        columns = ["centre", "both", "awaited", "hub_core_s", "pilot_core_s", "unexplained_core_s", "share"]
        show(rows, [*columns, "agree"], as_json=False, title="The hub's view and the pilots'")
        if found.differences:
            listed = [each.model_dump(mode="json") for each in found.differences]
            what = [
                "pilot",
                "global_job_id",
                "started",
                "hub",
                "hub_core_s",
                "pilot_core_s",
                "counts",
                "what",
            ]
            show(listed, what, as_json=False, title="Differences at your centre")
    if worst > TARGET:
        sys.exit(1)


@ledger.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def verify(directory: Path, as_json: bool) -> None:
    """Hold the hub's lines against the reports that your pilots left below DIRECTORY, the launcher's state_dir.

    Exit code 1 where they do not agree.
    """
    from fallow.client import connect
    from fallow.ledger.verify import read_reports, share
    from fallow.ledger.verify import verify as verified
    from fallow.output import show

    reports = read_reports(directory)
    first = int(min(report.started for report in reports).timestamp())
    of_pilot = defaultdict(list)
    for _, line in connect().ledger_lines(first, LATEST):
        of_pilot[line.pilot].append(line)
    verdicts = [verified(report, of_pilot[report.pilot]) for report in reports]
    rows = [
        {
            "pilot": one.pilot,
            "runs": one.runs,
            "hub_core_s": one.hub_core_s,
            "pilot_core_s": one.pilot_core_s,
            "problems": "; ".join(one.problems),
        }
        for one in verdicts
    ]
    show(rows, list(rows[0]), as_json=as_json)
    if not as_json:
        click.echo(
            f"{sum(one.good for one in verdicts)} of {len(verdicts)} pilots agree; {share(verdicts):.4%}"
        )
    if not all(one.good for one in verdicts):
        sys.exit(1)


@ledger.command()
@click.option("--format", "kind", type=click.Choice(["apel", "auditor"]), required=True)
@click.option(
    "--site", multiple=True, help="CENTRE=NAME: what the accounting calls a centre; may be repeated."
)
@since_option
@until_option
def export(kind: str, site: Sequence[str], since: int, until: int) -> None:
    """Print the runs that your centre provided, for another accounting: APEL summaries or AUDITOR records."""
    from fallow.client import connect
    from fallow.ledger.export import apel, auditor

    if not all("=" in each for each in site):
        raise UsageError("--site wants CENTRE=NAME.", remedy="For example: --site alder=ALDER-HPC")
    hub = connect()
    given = (line for centre, line in hub.ledger_lines(since, until) if line.provider == centre)
    sites = dict(each.split("=", 1) for each in site)
    text = (
        auditor(given) if kind == "auditor" else apel(given, sites=sites, submit_host=hub.federation().schedd)
    )
    for line in text:
        click.echo(line)


@ledger.command()
@click.option("--centre", required=True, help="The centre whose machines were used.")
@month_option
@click.option(
    "--portal",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings of the portal (TOML).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@json_option
def push(centre: str, month: str, portal: Path, dry_run: bool, as_json: bool) -> None:
    """Tell an allocation portal (Waldur, Puhuri) what each centre used of another's machines in a month.

    Once more sets the same numbers once more. Exit code 1 where something did not go through, or has no place there.
    """
    from fallow.client import connect
    from fallow.ledger.portal import push as pushed
    from fallow.ledger.portal import read, rows, usages
    from fallow.output import show

    settings = read(portal)
    found = connect().month_report(centre, month)
    told, left = usages(settings, found, datetime.now(timezone.utc))
    wrong = {} if dry_run else pushed(settings, told)
    states = {one.consumer: "not sent" if dry_run else wrong[one.consumer] or "sent" for one in told}
    shown = rows(told, states)
    show(shown, list(shown[0]), as_json=as_json, title=f"{centre}, {month}, for {settings.url}")
    for said in left:
        click.echo(said, err=True)
    if left or any(wrong.values()):
        sys.exit(1)


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 2)


def _sums(
    by: Sequence[str],
    since: int,
    until: int,
    limits: Mapping[str, str | bool],
    as_json: bool,
    as_csv: bool,
) -> None:
    from fallow.client import connect
    from fallow.ledger.messages import Key

    keys: list[Key] = [Key(each) for each in dict.fromkeys(by)]
    found = connect().usage(keys, since, until, **limits)
    columns = [*(key.value for key in keys), "runs", "wall_h", "core_h", "value_h"]
    _show([_row(each) for each in found.sums], columns, as_json, as_csv)


def _row(one: Sum) -> dict[str, Any]:
    return {
        **one.group,
        "runs": one.runs,
        "wall_h": _hours(one.wall_s),
        "core_h": _hours(one.core_s),
        "value_h": _hours(one.value),
        "wall_s": one.wall_s,
        "core_s": one.core_s,
        "value_s": one.value,
    }


def _show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool, as_csv: bool) -> None:
    from fallow.output import show

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other.", remedy="Give one of them.")
    if as_csv:
        write_csv(sys.stdout, rows, columns)
    else:
        show(rows, columns, as_json=as_json)


def write_csv(stream: TextIO, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV with a head; no cell is one that a spreadsheet takes for a formula."""
    writer = csv.writer(stream)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])


def _cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
