"""`fallow hub …`: what the operator of a hub runs."""

from __future__ import annotations

from pathlib import Path

import click

from fallow.errors import RefusedError
from fallow.output import show
from fallow_matcher import settings as hub_settings
from fallow_matcher.operation.commands import COMMANDS
from fallow_matcher.options import json_option, out_option, settings_option


@click.group()
def hub() -> None:
    """Run the hub of a federation: its HTCondor pool and its gateway."""


for each in COMMANDS:
    hub.add_command(each)


@hub.command()
@settings_option
@out_option
@json_option
def configure(settings_path: Path, out: Path, as_json: bool) -> None:
    """Write the hub's HTCondor configuration, missing signing keys and the daemons' token."""
    from fallow_matcher.htcondor.configure import configure as write_all

    written = write_all(hub_settings.read(settings_path), out.absolute())
    rows = [{"kind": "file", "name": str(path)} for path in written.files]
    rows += [{"kind": "new signing key", "name": key} for key in written.new_keys]
    show(rows, ["kind", "name"], as_json=as_json)


@hub.command()
@settings_option
def gateway(settings_path: Path) -> None:
    """Serve the gateway over TLS until a signal ends it."""
    from fallow_matcher.gateway.serve import serve

    serve(hub_settings.read(settings_path))


@hub.command()
@click.option("--once", is_flag=True, help="Decide once and end; refused while another matcher acts.")
@settings_option
@out_option
def matcher(once: bool, settings_path: Path, out: Path) -> None:
    """Rank the waiting work by the rules in force and have HTCondor go by it, until a signal ends it.

    Of several matchers one acts and the others wait for its end.
    """
    import threading

    from fallow_matcher.htcondor.revoking import Heeding
    from fallow_matcher.matching import daemon
    from fallow_matcher.matching.cycle import on_hub
    from fallow_matcher.matching.metrics import MeasuredMatcher
    from fallow_matcher.matching.metrics import serve as metrics_on

    settings = hub_settings.read(settings_path)
    config = out.absolute() / "condor_config"
    acting = on_hub(settings, config)
    if once:
        with daemon.alone(settings.state_dir, wait=False):
            decision = acting.cycle()
        click.echo(decision.change)
        return
    stop = threading.Event()
    with daemon.alone(settings.state_dir, wait=True):
        daemon.until_signal(stop)
        port = settings.ports.matcher_metrics
        cycles: list[daemon.Cycle] = [Heeding(settings, config)] if settings.pair else []
        cycles.append(MeasuredMatcher(acting, metrics_on(port)) if port else acting)
        daemon.run(cycles, settings.matching_interval_s, stop)


@hub.command()
@click.option("--once", is_flag=True, help="Act once and end; refused while another process does.")
@settings_option
def campaigns(once: bool, settings_path: Path) -> None:
    """Turn the rows of campaigns into jobs of their owners, and record what becomes of them, until a signal ends it.

    Of several such processes one acts and the others wait for its end.
    """
    import threading

    from fallow_matcher.campaigns.conductor import on_hub
    from fallow_matcher.matching import daemon

    settings = hub_settings.read(settings_path)
    stop = threading.Event()
    with daemon.alone(settings.state_dir, wait=not once, folder="campaigns", who="conductor of campaigns"):
        acting = on_hub(settings)
        if once:
            click.echo(f"{acting.cycle()} rows were handed to the queue")
            return
        daemon.until_signal(stop)
        daemon.run([acting], settings.matching_interval_s, stop)


@hub.command()
@settings_option
@out_option
@json_option
def check(settings_path: Path, out: Path, as_json: bool) -> None:
    """Hold the HTCondor configuration in effect, keys and tokens against the rules; exit code 4 on any finding."""
    import dataclasses

    from fallow_matcher.htcondor.findings import look

    findings = look(hub_settings.read(settings_path), out.absolute())
    columns = ["setting", "value", "problem", "remedy"]
    show([dataclasses.asdict(finding) for finding in findings], columns, as_json=as_json)
    if findings:
        raise RefusedError(
            f"{len(findings)} settings are not safe.", remedy="Mend them before the hub serves."
        )


@hub.command()
@settings_option
@json_option
def keys(settings_path: Path, as_json: bool) -> None:
    """Show the signing keys: for whom, since when, and which one signs now."""
    from fallow_matcher.htcondor import keys as signing

    settings = hub_settings.read(settings_path)
    show(signing.listing(settings), ["role", "key", "created", "signs"], as_json=as_json)


@hub.command()
@click.argument("role")
@click.option("--retire", is_flag=True, help="Remove all keys but the newest: their tokens end at once.")
@settings_option
@out_option
def rotate(role: str, retire: bool, settings_path: Path, out: Path) -> None:
    """Make a new signing key for ROLE (users, hub or pilot-CENTRE); the old ones stay good until --retire."""
    from fallow_matcher.htcondor import configure as configuring
    from fallow_matcher.htcondor import effective
    from fallow_matcher.htcondor import keys as signing

    settings = hub_settings.read(settings_path)
    if retire:
        for key_id in signing.retire(settings, role):
            click.echo(f"removed {key_id}")
    else:
        click.echo(f"made {configuring.rotate_key(settings, role)}")
    effective.reconfigure(out.absolute() / "condor_config", settings.account)


@hub.command()
@click.option("--centre", help="Revoke every token of a centre: its pilots' and its users'.")
@click.option("--jti", help="Revoke one token, WLCG or HTCondor, by its id in the audit log.")
@click.option("--undo", is_flag=True, help="Take the revocation back.")
@settings_option
@out_option
def revoke(centre: str | None, jti: str | None, undo: bool, settings_path: Path, out: Path) -> None:
    """Revoke tokens: new connections at once, those that stand within one session life.

    Revoking a single pilot's token restarts the pool's collector, since a pilot's connection would outlive its token:
    jobs run on, and idle slots are shown again within 140 s. Of two hubs the other does the same within seconds.
    """
    from fallow_matcher.htcondor import revoking

    settings = hub_settings.read(settings_path)
    revoking.revoke(settings, out.absolute() / "condor_config", centre=centre, jti=jti, undo=undo)
    click.echo(f"done; sessions that stand end within {settings.lives.session_s} s.")
