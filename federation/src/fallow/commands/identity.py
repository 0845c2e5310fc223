"""`fallow login`, `fallow logout` and `fallow whoami`."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from fallow.errors import UsageError

if TYPE_CHECKING:
    from fallow.login.oidc import DeviceAuthorization
    from fallow.login.renewal import Found
    from fallow.messages import Federation, Issuer

SCOPES = "openid offline_access wlcg wlcg.groups compute.read compute.create compute.modify compute.cancel"
"""What `fallow login` asks for: to be known, to stay logged in, the user's centre and own jobs."""


def choose_issuer(federation: Federation, wanted: str | None) -> Issuer:
    """The issuer to log in at: the one wanted, or the only one that people can log in at.

    Raises:
        UsageError: There is none, or it is not clear which.
    """
    usable = [known for known in federation.issuers if known.client_id]
    if wanted is not None:
        usable = [known for known in usable if known.issuer == wanted]
    if len(usable) == 1:
        return usable[0]
    listing = ", ".join(known.issuer for known in federation.issuers) or "none"
    if not usable:
        raise UsageError(
            f"{federation.name} offers no login at {wanted or 'any issuer'}; it trusts: {listing}.",
            remedy="Get a token another way and name its file in BEARER_TOKEN_FILE.",
        )
    raise UsageError(
        f"The federation {federation.name} has several issuers: {listing}.",
        remedy="Choose one with --issuer.",
    )


def _show_code(started: DeviceAuthorization) -> None:
    click.echo(f"Open    {started.verification_uri}")
    click.echo(f"Enter   {started.user_code}")
    if started.verification_uri_complete:
        click.echo(f"Or open {started.verification_uri_complete}")
    click.echo(f"Waiting for your approval; the code is good for {max(1, started.expires_in // 60)} min …")


@click.command()
@click.option(
    "--issuer", metavar="URL", help="Log in there; needed only where the federation has several issuers."
)
@click.option(
    "--client-id", help="The OAuth client, for an issuer that the hub does not name. Needs --audience."
)
@click.option(
    "--audience", help="The service that the token is for, for an issuer that the hub does not name."
)
@click.option("--scope", default=SCOPES, show_default=True, help="Space-separated scopes to ask for.")
def login(issuer: str | None, client_id: str | None, audience: str | None, scope: str) -> None:
    """Log in at the federation's issuer, in a browser on any device.

    The login is kept for you only (mode 0600) and renewed when it is used.
    """
    from fallow.client import client_settings, connect
    from fallow.commands.words import from_now
    from fallow.login.session import log_in

    settings = client_settings()
    if client_id is not None or audience is not None:
        if not (issuer and client_id and audience):
            raise UsageError(
                "--client-id and --audience go with --issuer.", remedy="Give all three, or none."
            )
    else:
        chosen = choose_issuer(connect(settings).federation(), issuer)
        issuer, client_id, audience = chosen.issuer, chosen.client_id, chosen.audience
    session = log_in(issuer, client_id, audience, scope, ca_file=settings.ca_file, show=_show_code)
    left_s = session.left_s(datetime.now(timezone.utc))
    kept = "it will be renewed when needed" if session.refresh_token else "after that, log in again"
    click.echo(f"Logged in{f' as {session.name}' if session.name else ''}.")
    click.echo(f"The token expires {from_now(left_s)}; {kept}.")


@click.command()
def logout() -> None:
    """Forget the stored login and revoke it at the issuer where that is offered."""
    from fallow.login.session import log_out

    click.echo("Logged out." if log_out() else "You were not logged in.")


def described(found: Found, now: datetime) -> dict[str, Any]:
    """What the token in use says about its bearer; nothing of it is verified here."""
    from fallow.commands.words import from_now
    from fallow.login.peek import expiry, peek
    from fallow.web import for_people

    claims = peek(found.token)[1]
    groups, scope, ends = claims.get("wlcg.groups"), claims.get("scope"), expiry(claims)
    return {
        "user": for_people(str(claims.get("sub", ""))),
        "name": found.session.name if found.session else "",
        "issuer": for_people(str(claims.get("iss", ""))),
        "groups": [for_people(str(group)) for group in groups] if isinstance(groups, list) else [],
        "scopes": [for_people(each) for each in scope.split()] if isinstance(scope, str) else [],
        "expires": ends.isoformat() if ends else None,
        "expires_in_words": from_now((ends - now).total_seconds()) if ends else "never says",
        "renewable": bool(found.session and found.session.refresh_token),
        "source": found.source,
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def whoami(as_json: bool) -> None:
    """Show who you are to the federation, in which groups, with which rights, until when."""
    from fallow.login.renewal import current

    about = described(current(), datetime.now(timezone.utc))
    if as_json:
        click.echo(json.dumps(about, indent=2))
        return
    who = f"{about['name']} ({about['user']})" if about["name"] else about["user"]
    renewal = ", renewed when needed" if about["renewable"] else ""
    lines = {
        "user": who,
        "issuer": about["issuer"],
        "groups": " ".join(about["groups"]) or "none",
        "scopes": " ".join(about["scopes"]) or "none",
        "expires": f"{about['expires_in_words']}{renewal}",
        "from": about["source"],
    }
    for label, value in lines.items():
        click.echo(f"{label:8} {value}")
