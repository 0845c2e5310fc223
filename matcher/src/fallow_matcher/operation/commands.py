"""The commands of `fallow hub` about a hub as a whole."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from fallow.errors import NotAvailableError, RefusedError, UsageError
from fallow.output import bars, show
from fallow_matcher import settings as hub_settings
from fallow_matcher.operation import ACTIONS
from fallow_matcher.options import json_option, out_option, settings_option

output_option = click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path, allow_dash=True),
    help="The file to write, which must not be there yet; `-` for standard output.",
)  # fmt: skip

source_argument = click.argument("source", type=click.File("rb"))


@click.command()
@click.option("--name", help="What people call the federation.")
@click.option("--host", help="The name under which others reach this machine.")
@click.option("--listen", help="The one address of this machine to bind to.")
@click.option(
    "--trust-domain", help="Domain of all identities; the host's name where it is left out. It never changes."
)
@click.option("--issuer", help="URL of the issuer of WLCG tokens.")
@click.option("--endpoint", help="URL of the S3 store.")
@click.option("--bucket", help="The federation's bucket. [default: fallow]")
@click.option(
    "--centre", "centres", multiple=True, help="NAME=SUB: a centre, and the `sub` of its launcher's tokens."
)
@click.option(
    "--units", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the systemd units. [default: /etc/systemd/system where systemd runs]",
)  # fmt: skip
@settings_option
@out_option
@json_option
def init(
    centres: tuple[str, ...], units: Path | None, settings_path: Path, out: Path, as_json: bool, **given: str
) -> None:
    """Set a hub up, or after a change of its settings set up again: folders, keys, HTCondor's configuration, systemd units.

    Where there is no settings file yet, one is written from the options. Nothing that is there is lost: keys stay, and so
    do all records.
    """
    from fallow_matcher.htcondor.configure import configure, write
    from fallow_matcher.operation import parts
    from fallow_matcher.operation import units as systemd
    from fallow_matcher.operation.begin import first_settings

    rows = []
    if not settings_path.exists():
        text = first_settings(given, centres)
        settings_path.parent.mkdir(parents=True, exist_ok=True)
        write(settings_path, text, 0o644, None)
        rows.append({"kind": "settings", "name": str(settings_path)})
    settings = hub_settings.read(settings_path)
    written = configure(settings, out.absolute())
    rows += [{"kind": "file", "name": str(path)} for path in written.files]
    rows += [{"kind": "new signing key", "name": key} for key in written.new_keys]
    folder = units or (systemd.FOLDER if systemd.RUNNING.is_dir() else None)
    if folder is not None:
        every = parts.every(settings_path.absolute(), out.absolute())
        rows += [{"kind": "unit", "name": str(path)} for path in systemd.write_units(every, settings, folder)]
        if folder == systemd.FOLDER:
            systemd.systemctl("daemon-reload")
    show(rows, ["kind", "name"], as_json=as_json)


@click.command()
@click.option(
    "--foreground", is_flag=True, help="Run the parts here until a signal ends them, without systemd."
)
@click.argument("names", metavar="[PART]...", nargs=-1)
@settings_option
@out_option
def up(foreground: bool, names: tuple[str, ...], settings_path: Path, out: Path) -> None:
    """Start the hub, or some PARTs of it: condor, gateway, matcher, campaigns.

    With systemd the units are enabled and started. With --foreground this process keeps the parts running, and has them
    read their files again on SIGHUP; a single part replaces it.
    """
    from fallow_matcher.operation import parts, supervisor
    from fallow_matcher.operation import units as systemd

    settings = hub_settings.read(settings_path)
    chosen = parts.chosen(parts.every(settings_path.absolute(), out.absolute()), names)
    if not foreground:
        wanted = [systemd.service(part.name) for part in chosen] if names else [systemd.TARGET]
        systemd.systemctl("enable", "--now", *wanted)
        return
    if len(chosen) == 1:
        parts.turn_into(chosen[0], settings)
    supervisor.run(chosen, settings)


@click.command()
@settings_option
@json_option
def status(settings_path: Path, as_json: bool) -> None:
    """Ask each part of the hub how it is; exit code 3 where one is not well."""
    from fallow_matcher.operation import account, look

    settings = hub_settings.read(settings_path)
    account.become(settings.account)
    found = look.status(settings, time.time())
    show([dataclasses.asdict(part) for part in found], ["name", "well", "words"], as_json=as_json)
    if ill := [part.name for part in found if not part.well]:
        raise NotAvailableError(f"Not well: {', '.join(ill)}.", remedy="See: fallow hub doctor")


@click.command()
@settings_option
@out_option
@json_option
def doctor(settings_path: Path, out: Path, as_json: bool) -> None:
    """Look for what is wrong with the hub, or soon will be, and say what to do; exit code 4 where something is wrong.

    Parts, HTCondor's version and configuration, keys and tokens, the certificate, ports, clock, disk, database, the ledger
    against the pilots' reports, and the last backup.
    """
    from fallow_matcher.operation import account
    from fallow_matcher.operation import doctor as doctors
    from fallow_matcher.operation.checks import State

    settings = hub_settings.read(settings_path)
    account.become(settings.account)
    found = doctors.doctor(settings, out.absolute())
    show([dataclasses.asdict(each) for each in found], ["name", "state", "words", "remedy"], as_json=as_json)
    if wrong := sum(each.state is State.WRONG for each in found):
        raise RefusedError(
            f"{wrong} of {len(found)} checks found something wrong.", remedy="Do as the table says."
        )


@click.command()
@output_option
@settings_option
def backup(output: Path, settings_path: Path) -> None:
    """Copy everything that the hub cannot make anew while it works: queue, ledger, rules, campaigns, keys, configuration.

    The file holds the hub's keys: it is its owner's alone. `fallow hub backup -o - | age -r … > FILE` encrypts it.
    """
    from fallow_matcher.operation.backup import backup as copy

    settings = hub_settings.read(settings_path)
    with _new_file(output, settings.account) as stream:
        manifest = copy(settings_path, settings, stream)
    click.echo(
        f"{len(manifest.digests)} files in {manifest.ended - manifest.began:.1f} s; jobs that came "
        f"{time.time() - manifest.queue_at:.1f} s ago or later are not in it.", err=True,
    )  # fmt: skip


@click.command()
@source_argument
@settings_option
@out_option
@json_option
def restore(source: BinaryIO, settings_path: Path, out: Path, as_json: bool) -> None:
    """Make the hub of a backup, on a machine that has none; SOURCE is its file, or `-` for standard input.

    Settings, certificates and keys that are there already stay: to give the hub another address, write its settings first.
    Start it with `fallow hub up` when the old one is stopped for good.
    """
    from fallow_matcher.operation.restore import restore as remake

    made = remake(source, settings_path, out.absolute())
    rows = [{"kind": "restored", "name": str(made.settings.state_dir)}]
    rows += [{"kind": "left as it was", "name": str(path)} for path in made.kept]
    show(rows, ["kind", "name"], as_json=as_json)


@click.command()
@output_option
@settings_option
def share(output: Path, settings_path: Path) -> None:
    """At the first of two hubs: write the keys, revocations and files that the second must have, for `fallow hub join`.

    The file holds the federation's keys, as a backup does: it is its owner's alone.
    """
    from fallow_matcher.operation import pair

    settings = hub_settings.read(settings_path)
    with _new_file(output, settings.account) as stream:
        count = pair.share(settings_path, settings, stream)
    click.echo(f"{count} files", err=True)


@click.command()
@source_argument
@settings_option
@out_option
@json_option
def join(source: BinaryIO, settings_path: Path, out: Path, as_json: bool) -> None:
    """At the second of two hubs: take over what the first shares; SOURCE is its file, or `-` for standard input.

    Do so again when keys were rotated, a centre was added, or a file that the settings name was changed at the first.
    """
    from fallow_matcher.htcondor import effective
    from fallow_matcher.operation import pair

    joined = pair.join(source, settings_path, out.absolute())
    rows = [{"kind": "new", "name": str(path)} for path in joined.new]
    rows += [{"kind": "replaced", "name": str(path)} for path in joined.replaced]
    show(rows, ["kind", "name"], as_json=as_json)
    if joined.replaced:
        click.echo("The hub's parts read replaced files as they start: restart them.", err=True)
    try:
        effective.reconfigure(out.absolute() / "condor_config", hub_settings.read(settings_path).account)
    except NotAvailableError as error:
        click.echo(f"HTCondor was not told, and reads it as it starts: {error.what}", err=True)


@click.command()
@settings_option
@out_option
@json_option
def upgrade(settings_path: Path, out: Path, as_json: bool) -> None:
    """After a newer release was installed: back up, bring the records and the configuration up to it, restart what must be.

    HTCondor reads its new configuration and goes on; under systemd the other parts are restarted, jobs run on meanwhile.
    """
    from fallow_matcher.operation import upgrade as upgrading
    from fallow_matcher.operation.account import as_account

    settings = hub_settings.read(settings_path)
    done = as_account(settings.account, upgrading.upgrade_records, settings_path, settings)
    rows = [
        {
            "what": "database",
            "how": f"{done.before} → {done.after}" if done.backup else f"{done.after}, as it was",
        }
    ]
    if done.backup:
        rows.append({"what": "backup before", "how": str(done.backup)})
    rows += upgrading.take_effect(settings_path.absolute(), settings, out.absolute())
    show(rows, ["what", "how"], as_json=as_json)


@click.command()
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@click.option("--owner", help="All jobs of this person, as <centre>.<user>.")
@click.option("--why", required=True, help="What the jobs' owners will read.")
@settings_option
@out_option
@json_option
def jobs(
    action: str,
    jobs: tuple[str, ...],
    owner: str | None,
    why: str,
    settings_path: Path,
    out: Path,
    as_json: bool,
) -> None:
    """Hold, release or remove JOBs of anybody, by id (12.0), or all of an --owner; the audit log keeps who and why."""
    from fallow_matcher.operation import account
    from fallow_matcher.operation.jobs import act

    if bool(jobs) == bool(owner):
        raise UsageError("Name jobs or one owner.", remedy="Give ids such as 12.0, or --owner CENTRE.USER.")
    settings = hub_settings.read(settings_path)
    account.become(settings.account)
    whom = f"Owner == {json.dumps(owner)}" if owner else jobs
    done = act(settings, out.absolute(), action, whom, why)
    show([{"jobs": count, "how": how} for how, count in done.items()], ["jobs", "how"], as_json=as_json)
    if not done.get("done"):
        raise RefusedError("No job was changed.", remedy="See which there are: condor_q -allusers")


@click.command("move-database")
@click.argument("url")
@settings_option
@json_option
def move_database(url: str, settings_path: Path, as_json: bool) -> None:
    """Copy all records of a stopped hub to another, empty database at URL, as from SQLite to PostgreSQL for a second hub.

    The present one stays as it is. Write the new URL into the settings as `database`, and start the hub again. A password
    does not belong into URL, which others may see: name a file with `?passfile=`.
    """
    from fallow_matcher.database.move import move
    from fallow_matcher.operation import account, look

    settings = hub_settings.read(settings_path)
    account.become(settings.account)
    if found := look.writers(settings):
        raise RefusedError(
            f"The hub is not stopped: {', '.join(found)}.", remedy="Stop it: systemctl stop fallow-hub.target"
        )
    with bars(quiet=as_json) as told:
        rows = move(settings.database_url, url, told)
    show(
        [{"table": table, "rows": count} for table, count in rows.items()], ["table", "rows"], as_json=as_json
    )
    click.echo("Now write the new URL into the settings as `database`, and start the hub.", err=True)


COMMANDS = (init, up, status, doctor, backup, restore, share, join, upgrade, move_database, jobs)


@contextmanager
def _new_file(path: Path, owner: str) -> Iterator[BinaryIO]:
    """A new file of mode 0600, or standard output; what fills it is done as the account `owner`."""
    from fallow_matcher.operation import account

    if str(path) == "-":
        if sys.stdout.isatty():
            raise UsageError(
                "A backup is nothing to read on a screen.", remedy="Send it into a file or a program."
            )
        stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    else:
        try:
            stream = os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
            )
        except OSError as error:
            raise RefusedError(
                f"Cannot write {path}: {error.strerror}.", remedy="Name a new file."
            ) from error
    with stream:
        account.become(owner)
        yield stream
