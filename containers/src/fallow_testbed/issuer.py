"""The testbed's identity provider on the hub: people, launchers' robot accounts, the test CA and its certificates."""

from __future__ import annotations

import json

from fallow_testbed import files
from fallow_testbed.host import Host
from fallow_testbed.spec import Federation
from fallow_testbed.wait import serve

PORT = 8444
URL = f"https://hub:{PORT}"
STATE = "/home/issuer/state"
CA_FILE = f"{STATE}/ca.pem"
CLIENT = "fallow"
OPERATOR = "operator"
"""The account (and `sub`) of the hub's operator, a person at the first centre."""
LOGIN_BACK = "https://hub:8443/login/callback"
"""Where a login at the hub's page leads back to."""
USER_SCOPES = (
    "compute.read",
    "compute.create",
    "compute.modify",
    "compute.cancel",
    "storage.read:/",
    "storage.modify:/",
)


def launcher_account(centre: str) -> str:
    """The account (and `sub`) of a centre's launcher."""
    return f"launcher-{centre}"


def admin_account(centre: str) -> str:
    """The account (and `sub`) of the person who speaks for a centre on the rules."""
    return f"admin-{centre}"


def people_toml(spec: Federation) -> str:
    """The issuer's file of people: everybody at the desk, one robot account and one admin per centre."""
    lines = [f'clients = ["{CLIENT}"]', f'redirects = ["{LOGIN_BACK}"]']
    for name, user in spec.users.items():
        groups = [
            "/fallow",
            f"/fallow/{user.centre}",
            *(_managed(user.centre) if user.role == "manager" else []),
        ]
        lines += _person(name, groups, USER_SCOPES)
    first = next(iter(spec.centres))
    lines += _person(OPERATOR, ["/fallow", f"/fallow/{first}"], USER_SCOPES)
    for centre in spec.centres:
        groups = ["/fallow", f"/fallow/{centre}"]
        lines += _person(launcher_account(centre), groups, ("compute.read",))
        lines += _person(admin_account(centre), [*groups, f"/fallow/{centre}/admin"], USER_SCOPES)
    return "\n".join(lines) + "\n"


def _managed(centre: str) -> list[str]:
    """The groups of a production manager, who alone may submit urgent work."""
    return ["/production", f"/fallow/{centre}/urgent"]


def _person(name: str, groups: list[str], scopes: tuple[str, ...]) -> list[str]:
    # JSON strings and arrays of strings are TOML as well.
    fields = {
        "sub": name,
        "name": name.title(),
        "groups": groups,
        "scopes": list(scopes),
        "password": password(name),
    }
    return [f"[users.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]


def password(name: str) -> str:
    """What an account logs in with at the issuer's page: no secret, as the whole issuer is none."""
    return f"{name}-of-the-testbed"


def start(hub: Host, spec: Federation) -> None:
    """Make the issuer's state and start it; its CA also signs the other servers' certificates."""
    files.write(hub, "/etc/fallow/people.toml", people_toml(spec))
    issuer = ["fallow-dev-issuer", "init", "--state", STATE, "--issuer", URL, "--host", "hub"]
    hub.run([*issuer, "--people", "/etc/fallow/people.toml"], user="issuer")
    listen = f"{spec.addresses()['hub']}:{PORT}"
    argv = ["fallow-dev-issuer", "serve", "--state", STATE, "--listen", listen]
    serve(hub, argv, user="issuer", port=PORT, what="issuer")


def certificate(hub: Host, directory: str, owner: str, at: Host | None = None) -> None:
    """Put `tls.pem`, `tls-key.pem` and `ca.pem` into a `directory`, the key readable by `owner` only.

    Args:
        hub: The issuer's host.
        directory: Where they go.
        owner: The account of the server.
        at: The server's host; the hub itself unless given.
    """
    at = at or hub
    made = f"{STATE}/for-{owner}-at-{at.name}"
    hub.run(
        ["fallow-dev-issuer", "certificate", "--state", STATE, "--host", at.name, "--out", made],
        user="issuer",
    )
    at.run(["install", "-d", "-o", owner, "-m", "0755", directory])
    for name, mode in (("tls.pem", 0o644), ("tls-key.pem", 0o600), ("ca.pem", 0o644)):
        text = (hub.files / made.lstrip("/") / name).read_text()
        files.write(at, f"{directory}/{name}", text, mode=mode, owner=files.ids(at, owner))


def token(hub: Host, account: str, audience: str, *, life_s: int = 6 * 3600, scope: str | None = None) -> str:
    """A WLCG access token for one account, as the issuer would give it after a login."""
    argv = ["fallow-dev-issuer", "token", "--state", STATE, "--user", account, "--audience", audience]
    argv += ["--life-s", str(life_s), *(["--scope", scope] if scope is not None else [])]
    return hub.run(argv, user="issuer").stdout.strip()
