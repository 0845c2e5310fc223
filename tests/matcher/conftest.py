"""A hub on disk and its gateway in process; tokens are the test's word, everything else is real."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from fallow.tokens import Claims, TokenError
from fallow.tokens.scopes import parse
from fallow_matcher.database import open_database
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build
from fallow_matcher.htcondor import revoking
from fallow_matcher.htcondor.configure import configure
from fallow_matcher.settings import HubSettings

ISSUER = "https://iam.example.org"
OTHER_ISSUER = "https://other.example.org"
GATEWAY = "https://hub.example.org:8443"
PG_ACCOUNT = "postgres"


def raw_settings(root: Path, **changes: Any) -> dict[str, Any]:
    """A settings table of a hub below `root`."""
    return {
        "name": "Example",
        "trust_domain": "fallow.example.org",
        "host": "hub.example.org",
        "listen": "127.0.0.1",
        "account": getpass.getuser(),
        "state_dir": root / "state",
        "tls_cert": root / "tls.pem",
        "tls_key": root / "tls-key.pem",
        "audiences": [GATEWAY],
        "plain_names_issuer": ISSUER,
        "issuers": [
            {"url": ISSUER, "centre_root": "/fallow", "client_id": "fallow"},
            {"url": OTHER_ISSUER, "centre": "south"},
        ],
        "centres": [
            {"name": "north", "launcher_issuer": ISSUER, "launcher_sub": "launcher-north"},
            {"name": "south", "launcher_issuer": ISSUER, "launcher_sub": "launcher-south"},
        ],
        "storage": {"endpoint": "http://127.0.0.1:1", "bucket": "fallow", "keys_file": root / "s3.toml"},
        **changes,
    }


def on_disk(root: Path, settings: HubSettings) -> HubSettings:
    """A hub below `root` that `fallow hub configure` has been run for."""
    configure(settings, root / "condor")
    settings.storage.keys_file.write_text('access_key = "hub"\nsecret_key = "not-a-real-secret"\n')
    settings.storage.keys_file.chmod(0o600)
    return settings


def revoke_on_disk(settings: HubSettings, **what: Any) -> None:
    """`fallow hub revoke` at a hub whose HTCondor does not run."""
    revoking.revoke(settings, settings.state_dir, **what, apply=lambda *_: None)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """The directory with the socket of a PostgreSQL server."""
    with _server() as socket:
        yield socket


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: Path) -> str:
    """A database of that server which has our tables."""
    name = _new_database(postgresql_server)
    open_database(_url(postgresql_server, name)).dispose()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The hub's database, empty: once SQLite, once PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'fallow.sqlite'}"
    else:
        socket: Path = request.getfixturevalue("postgresql_server")
        template: str = request.getfixturevalue("postgresql_template")
        url = _url(socket, _new_database(socket, template))
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def raw(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Gives a settings table with changes."""
    return lambda **changes: raw_settings(tmp_path, **changes)


@pytest.fixture
def settings(tmp_path: Path) -> HubSettings:
    return HubSettings.model_validate(raw_settings(tmp_path))


@pytest.fixture
def configured(settings: HubSettings, tmp_path: Path) -> HubSettings:
    """A hub that `fallow hub configure` has been run for."""
    return on_disk(tmp_path, settings)


@dataclass
class Tokens:
    """Knows the tokens that a test made; any other is invalid."""

    settings: HubSettings
    made: dict[str, Claims] = field(default_factory=dict)

    def make(
        self,
        sub: str,
        *,
        iss: str = ISSUER,
        scope: str = "compute.read compute.create compute.modify compute.cancel",
        groups: tuple[str, ...] = (),
        life_s: int = 3600,
    ) -> str:
        """A token for `sub`; its text is its name."""
        token = f"token.{len(self.made)}.{sub}"
        issuer = next(issuer for issuer in self.settings.trusted.issuers if issuer.url == iss)
        now = time.time()
        self.made[token] = Claims(
            issuer=issuer,
            sub=sub,
            jti=f"jti-{len(self.made)}",
            aud=(GATEWAY,),
            exp=now + life_s,
            iat=now,
            nbf=None,
            version="1.0",
            scopes=parse(scope),
            groups=groups,
        )
        return token

    def validate(self, token: str, audience: list[str], now: float) -> Claims:
        """Stands for `Validator.validate`, which tests of its own hold to the profile."""
        if token not in self.made:
            raise TokenError("invalid_token", "The token is unknown.")
        if self.made[token].exp <= now:
            raise TokenError("token_expired", "The token expired.")
        return self.made[token]


@pytest.fixture
def tokens(settings: HubSettings) -> Tokens:
    return Tokens(settings)


@pytest.fixture
def services(configured: HubSettings, tokens: Tokens) -> Iterator[Services]:
    built = build(configured, validate=tokens.validate)
    yield built
    built.close()


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(services), base_url=GATEWAY) as opened:
        yield opened


@pytest.fixture
def alice(tokens: Tokens) -> dict[str, str]:
    return bearer(tokens.make("alice", groups=("/fallow", "/fallow/north")))


@pytest.fixture
def admin(tokens: Tokens) -> Callable[[str], dict[str, str]]:
    """The header of a person who speaks for a centre."""
    return lambda centre: bearer(
        tokens.make(f"{centre}-admin", groups=("/fallow", f"/fallow/{centre}", f"/fallow/{centre}/admin"))
    )


@pytest.fixture
def launcher(tokens: Tokens) -> dict[str, str]:
    return bearer(tokens.make("launcher-north", scope="compute.read"))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def exchange(client: TestClient) -> Callable[..., Any]:
    def send(token: str, **more: str) -> Any:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        return client.post("/v1/token", data=form | more)

    return send


@contextmanager
def _server() -> Iterator[Path]:
    """Start PostgreSQL; gives the directory of its socket. What it stored is gone afterwards."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="fallow-pg-", dir="/tmp"))  # a socket's path must be short
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, PG_ACCOUNT)
        data = folder / "data"
        _pg(programs / "initdb", "-D", data, "-U", PG_ACCOUNT, "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        control = (programs / "pg_ctl", "-D", data, "-w", "-t", "60")
        _pg(*control, "-l", folder / "log", "-o", options, "start")
        try:
            yield folder
        finally:
            _pg(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _new_database(socket: Path, template: str = "template1") -> str:
    """Make a database; its name."""
    import psycopg

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(host=str(socket), user=PG_ACCOUNT, dbname=PG_ACCOUNT, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return name


def _url(socket: Path, name: str) -> str:
    """The URL of a database."""
    return f"postgresql://{PG_ACCOUNT}@/{name}?host={socket}"


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise AssertionError("PostgreSQL is missing. Install it: apt-get install postgresql")
    return found[-1].parent


def _pg(*argv: str | Path) -> None:
    become = ["setpriv", f"--reuid={PG_ACCOUNT}", f"--regid={PG_ACCOUNT}", "--clear-groups"]
    line = [*(become if os.geteuid() == 0 else []), *map(str, argv)]
    done = subprocess.run(
        line,
        cwd="/",
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, f"{Path(argv[0]).name} failed: {done.stdout[-2000:]}"
