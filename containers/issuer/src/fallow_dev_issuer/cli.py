"""The `fallow-dev-issuer` command."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fallow_dev_issuer import BANNER
from fallow_dev_issuer.certificates import TestAuthority, utc_now
from fallow_dev_issuer.errors import IssuerError
from fallow_dev_issuer.keys import ALGORITHMS, MAX_LIFE_S, KeyRing
from fallow_dev_issuer.people import People
from fallow_dev_issuer.setup import initialise
from fallow_dev_issuer.state import State, write_private
from fallow_dev_issuer.tokens import access_claims

logger = logging.getLogger(__name__)

Command = Callable[..., Any]


def _state_option(command: Command) -> Command:
    return click.option(
        "--state",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        required=True,
        envvar="FALLOW_DEV_ISSUER_STATE",
        show_envvar=True,
        help="Directory of the issuer's keys and grants.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=BANNER)
def issuer() -> None:
    """Run an OpenID Connect issuer of WLCG tokens for development and tests."""
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


@issuer.command()
@_state_option
@click.option(
    "--issuer", "url", required=True, help="The issuer's URL, https://HOST[:PORT]: the `iss` of its tokens."
)
@click.option("--host", "hosts", multiple=True, required=True, help="Name or address in the TLS certificate.")
@click.option(
    "--people",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of users; copied.",
)
def init(directory: Path, url: str, hosts: tuple[str, ...], people: Path | None) -> None:
    """Make keys, a test CA, a TLS certificate and the file of people; what is there and fits is kept."""
    initialise(directory, url, list(hosts), people)
    logger.info("issuer %s is ready in %s. %s", url, directory, BANNER)


@issuer.command()
@_state_option
@click.option("--host", "hosts", multiple=True, required=True, help="Name or address of the server.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where the files go."
)
def certificate(directory: Path, hosts: tuple[str, ...], out: Path) -> None:
    """Sign a server certificate with the test CA: OUT/tls.pem, OUT/tls-key.pem and OUT/ca.pem."""
    TestAuthority(State.open(directory).directory).ensure_certificate(list(hosts), out, utc_now())
    click.echo(out / "tls.pem")


@issuer.command()
@_state_option
@click.option(
    "--algorithm", "algorithms", type=click.Choice(ALGORITHMS), multiple=True, help="Default: each."
)
def rotate(directory: Path, algorithms: tuple[Any, ...]) -> None:
    """Sign with new keys from now on; old ones stay published until their tokens have expired."""
    state = State.open(directory)
    ring = KeyRing.load(state.keys).rotated(time.time(), algorithms or ALGORITHMS)
    ring.save(state.keys)
    for algorithm in algorithms or ALGORITHMS:
        click.echo(ring.active(algorithm).kid)


@issuer.command()
@_state_option
@click.option("--user", "name", required=True, help="A user of the file of people.")
@click.option("--audience", multiple=True, help="Who may take the token; repeat for several.")
@click.option("--scope", help="Space-separated; default: all that the user may have, and groups.")
@click.option(
    "--life-s", type=click.IntRange(1, MAX_LIFE_S), default=3600, show_default=True, help="Seconds."
)
@click.option("--algorithm", type=click.Choice(ALGORITHMS), default="ES256", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it there, mode 0600.")
def token(
    directory: Path,
    name: str,
    audience: tuple[str, ...],
    scope: str | None,
    life_s: int,
    algorithm: Any,
    out: Path | None,
) -> None:
    """Mint an access token from the state directory, without the server."""
    state = State.open(directory)
    person = People.load(state.people).user(name)
    requested = scope.split() if scope is not None else ["wlcg.groups", *person.scopes]
    granted = person.granted(requested)
    if missing := [each for each in requested if each not in granted]:
        raise IssuerError(
            f"{name} may not have {' '.join(missing)}. Add it to the user's scopes in {state.people}."
        )
    claims = access_claims(
        state.issuer,
        person,
        client_id="fallow-dev-issuer",
        audience=list(audience),
        scopes=granted,
        now=time.time(),
        life_s=life_s,
    )
    text = KeyRing.load(state.keys).sign(claims, algorithm=algorithm)
    if out:
        write_private(out, text.encode() + b"\n")
    else:
        click.echo(text)


@issuer.command()
@_state_option
@click.argument("user_code")
@click.option("--user", "name", required=True, help="The user on whose behalf to decide.")
@click.option("--deny", is_flag=True, help="Refuse instead.")
def approve(directory: Path, user_code: str, name: str, deny: bool) -> None:
    """Decide on a device login that shows USER_CODE, as the user would on the page."""
    from fallow_dev_issuer.grants import GrantStore

    state = State.open(directory)
    People.load(state.people).user(name)
    GrantStore(state.grants).decide(user_code, name, approve=not deny, now=time.time())


@issuer.command()
@_state_option
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--access-life-s", type=click.IntRange(1, MAX_LIFE_S), default=3600, show_default=True)
@click.option("--refresh-life-s", type=click.IntRange(1), default=30 * 24 * 3600, show_default=True)
@click.option("--device-life-s", type=click.IntRange(1), default=600, show_default=True)
@click.option(
    "--interval-s", type=click.IntRange(0), default=5, show_default=True, help="Least time between polls."
)
def serve(
    directory: Path, listen: str, access_life_s: int, refresh_life_s: int, device_life_s: int, interval_s: int
) -> None:
    """Serve the issuer over TLS until told to stop."""
    import uvicorn

    from fallow_dev_issuer.app import Lives, build_app

    state = State.open(directory)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise IssuerError(f"{listen!r} is not HOST:PORT. Name an address to listen on, e.g. 127.0.0.1:8444.")
    lives = Lives(access_life_s, refresh_life_s, device_life_s, interval_s)
    KeyRing.load(state.keys)
    People.load(state.people)
    logger.warning(BANNER)
    uvicorn.run(
        build_app(state, lives),
        host=host.strip("[]"),
        port=int(port),
        ssl_certfile=directory / "tls.pem",
        ssl_keyfile=directory / "tls-key.pem",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )


def main() -> None:
    """Run the command line; an `IssuerError` becomes one sentence on standard error and exit code 1."""
    try:
        issuer(standalone_mode=True)
    except IssuerError as error:
        click.echo(f"fallow-dev-issuer: {error}", err=True)
        sys.exit(1)
