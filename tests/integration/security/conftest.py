"""Attackers: people, pilots and nobodies with tokens of their own, on hosts of the testbed."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fallow.client import connect
from fallow.queue.hub import open_queue
from fallow.queue.records import JobRecord, JobState
from fallow.queue.spec import JobSpec
from fallow_testbed import files, hub, issuer, s3
from fallow_testbed.host import Host
from fallow_testbed.spec import HUB_ADDRESS
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import serve, wait_until

T = TypeVar("T")


ATTACKERS_CONFIG = """
CONDOR_HOST = hub
COLLECTOR_HOST = hub:9618
LOCAL_DIR = {directory}
SEC_TOKEN_DIRECTORY = {directory}/tokens
SEC_TOKEN_SYSTEM_DIRECTORY = {directory}/tokens
SEC_PASSWORD_DIRECTORY = {directory}/passwords
SEC_DEFAULT_AUTHENTICATION_METHODS = {methods}
SEC_CLIENT_AUTHENTICATION_METHODS = {methods}
SEC_DEFAULT_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_DEFAULT_INTEGRITY = OPTIONAL
{more}
"""
"""What somebody sets who wants in: whatever the other side takes will do."""

EVERY_METHOD = "IDTOKENS, SCITOKENS, PASSWORD, SSL, FS, CLAIMTOBE, ANONYMOUS"


@dataclass(frozen=True)
class Attacker:
    """An ordinary account of a centre with HTCondor's programs and, perhaps, a token."""

    host: Host
    directory: str
    account: str = "local"

    def run(self, *argv: str, stdin: str | None = None, timeout_s: float = 60) -> CompletedProcess[str]:
        """Run a program; whether it fails is for the test to say."""
        env = {"CONDOR_CONFIG": f"{self.directory}/condor_config"}
        return self.host.run(
            list(argv), user=self.account, env=env, stdin=stdin, check=False, timeout_s=timeout_s
        )

    def put(self, name: str, text: str) -> str:
        """Write a file of the attacker's; its path on the host."""
        path = f"{self.directory}/{name}"
        self.host.run(["tee", path], user=self.account, stdin=text)
        return path


@pytest.fixture(scope="session")
def wlcg(hub_host: Host) -> Callable[..., str]:
    """`wlcg(account, audience=…, life_s=…, scope=…)`: a WLCG token of the testbed's issuer."""

    def token(account: str, audience: str = hub.GATEWAY_URL, **options: Any) -> str:
        return issuer.token(hub_host, account, audience, **options)

    return token


@pytest.fixture(scope="session")
def condor_token(at: Callable[..., str], wlcg: Callable[..., str]) -> Callable[..., str]:
    """`condor_token(account, scope=None)`: an HTCondor token that the gateway gave for an account's WLCG token."""

    def token(account: str, scope: str | None = None, **options: Any) -> str:
        return at("alice", exchanged, wlcg(account, **options), scope)

    return token


@pytest.fixture(scope="session")
def attacker(bed: Testbed) -> Callable[..., Attacker]:
    """`attacker(token=None, where="cedar", more="", account="local")`: somebody on a host who holds this HTCondor token."""

    def make(
        token: str | None = None, where: str = "cedar", more: str = "", *, account: str = "local"
    ) -> Attacker:
        host = bed.host(where)
        directory = f"/home/{account}/attacker-{secrets.token_hex(4)}"
        methods = "IDTOKENS" if token else EVERY_METHOD
        host.run(["install", "-d", "-m", "0700", directory, f"{directory}/tokens"], user=account)
        somebody = Attacker(host, directory, account)
        somebody.put(
            "condor_config", ATTACKERS_CONFIG.format(directory=directory, methods=methods, more=more)
        )
        if token:
            somebody.put("tokens/stolen", token + "\n")
            host.run(["chmod", "0600", f"{directory}/tokens/stolen"], user=account)
        return somebody

    return make


@pytest.fixture
def hub_file(hub_host: Host) -> Iterator[Callable[[str, str], Path]]:
    """`hub_file(path, text)`: write a file of the hub that is removed after the test."""
    written: list[Path] = []

    def write(path: str, text: str) -> Path:
        written.append(files.write(hub_host, path, text))
        return written[-1]

    yield write
    for path in written:
        path.unlink(missing_ok=True)


def exchanged(token: str, scope: str | None) -> str:
    """The HTCondor token for a WLCG token; called at the desk."""
    import requests

    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        **({"scope": scope} if scope else {}),
    }
    ca = str(Path(os.environ["HOME"]) / "ca.pem")
    answer = requests.post(f"{hub.GATEWAY_URL}/v1/token", data=form, verify=ca, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    record: JobRecord
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def jobs(
    at: Callable[..., Any], image: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Outcome]]:
    """`jobs(person, {name: specification, …})`: run jobs together, until each has ended or is held; name → outcome."""

    def run(person: str, specs: dict[str, dict[str, Any]], deadline_s: float = 90) -> dict[str, Outcome]:
        directory = tmp_path_factory.mktemp("jobs")
        return at(person, ran, specs, image, directory, deadline_s)  # type: ignore[no-any-return]

    return run


def ran(
    specs: dict[str, dict[str, Any]], image: str, directory: Path, deadline_s: float
) -> dict[str, Outcome]:
    """Run jobs and take what they wrote; called at the desk."""
    queue = open_queue(connect())
    run = f"security-{directory.name}-{os.getpid()}"
    usual = {
        "run": run,
        "image": image,
        "directory": directory,
        "memory_mb": 512,
        "disk_mb": 256,
        "walltime_s": 600,
    }
    queue.submit([JobSpec(**{**usual, "key": name, "name": name, **spec}) for name, spec in specs.items()])
    seen: dict[str, JobRecord] = {}

    def ended() -> bool:
        seen.update(queue.status(run))
        return all(job.state in (JobState.FINISHED, JobState.HELD, JobState.REMOVED) for job in seen.values())

    outcomes = {}
    try:
        wait_until(ended, f"The last of {', '.join(specs)}", deadline_s, pause_s=0.3)
    finally:
        for name, record in seen.items():
            into = directory / f"{name}-output"
            into.mkdir()
            if record.state is JobState.FINISHED:
                queue.fetch(record.id, into=into)
            texts = [
                (into / stream).read_text() if (into / stream).exists() else ""
                for stream in ("stdout", "stderr")
            ]
            outcomes[name] = Outcome(record, *texts)
        queue.remove(run=run)
    return outcomes


SERVER = """
import functools, http.server, ssl, sys
address, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory + "/www")
server = http.server.ThreadingHTTPServer((address, port), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(directory + "/tls.pem", directory + "/tls-key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Service:
    """A server of a test on the hub."""

    host: Host
    name: str

    def start(self, *argv: str, user: str, port: int) -> None:
        """Start it and return once it takes connections."""
        pid_file = f"/tmp/{self.name}.pid"
        recorded = ["sh", "-c", 'echo $$ >"$0"; exec "$@"', pid_file, *argv]
        serve(self.host, recorded, user=user, port=port, what=self.name)

    def stop(self) -> None:
        """End it and return once it is gone."""
        script = 'read pid </tmp/"$0".pid && kill "$pid" && while [ -e "/proc/$pid" ]; do sleep 0.05; done'
        self.host.run(["sh", "-c", script, self.name], check=False)

    def said(self) -> str:
        """Its log."""
        return (self.host.files / "var/log/fallow" / f"{self.name}.log").read_text(errors="replace")


@dataclass(frozen=True)
class CaseIssuer:
    """The issuer of the case file, `https://vo.example.org`, as a server on the hub."""

    url: str
    service: Service
    es256: ec.EllipticCurvePrivateKey
    rs256: rsa.RSAPrivateKey

    def fetches(self) -> int:
        """How often somebody asked for its keys."""
        return self.service.said().count("GET /jwks.json")


@pytest.fixture(scope="session")
def case_issuer(hub_host: Host) -> Iterator[CaseIssuer]:
    """The issuer of the case file, whose keys the tests have."""
    name = "vo.example.org"
    directory = f"{issuer.STATE}/{name}"
    hosts = hub_host.files / "etc/hosts"
    before = hosts.read_text()
    hosts.write_text(f"{before}{HUB_ADDRESS} {name}\n")
    sign = ["fallow-dev-issuer", "certificate", "--state", issuer.STATE, "--host", name, "--out", directory]
    hub_host.run(sign, user="issuer")
    service = Service(hub_host, name)
    found = CaseIssuer(
        f"https://{name}",
        service,
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    )
    keys = [
        {**ECAlgorithm.to_jwk(found.es256.public_key(), as_dict=True), "kid": "key1", "alg": "ES256"},
        {**RSAAlgorithm.to_jwk(found.rs256.public_key(), as_dict=True), "kid": "key-rsa", "alg": "RS256"},
    ]
    metadata = {"issuer": found.url, "jwks_uri": f"{found.url}/jwks.json"}
    files.write(hub_host, f"{directory}/www/.well-known/openid-configuration", json.dumps(metadata))
    files.write(hub_host, f"{directory}/www/jwks.json", json.dumps({"keys": keys}))
    service.start("python3", "-u", "-c", SERVER, str(HUB_ADDRESS), "443", directory, user="root", port=443)
    yield found
    service.stop()
    hosts.write_text(before)


@pytest.fixture(scope="session")
def case_gateway(hub_host: Host, case_issuer: CaseIssuer) -> Iterator[Callable[[list[str], int], Service]]:
    """`case_gateway(audiences, port)`: a further gateway on the hub that trusts the issuer of the case file."""
    running: list[Service] = []

    def start(audiences: list[str], port: int) -> Service:
        name = f"gateway-{port}"
        settings, out = f"/etc/fallow/{name}.toml", f"/etc/fallow/{name}"
        files.write(hub_host, settings, case_settings(case_issuer.url, audiences, port, f"/var/lib/{name}"))
        hub_host.run(["fallow", "hub", "configure", "--settings", settings, "--out", out])
        service = Service(hub_host, name)
        service.start("fallow", "-v", "hub", "gateway", "--settings", settings, user=hub.ACCOUNT, port=port)
        running.append(service)
        return service

    yield start
    for service in running:
        service.stop()
        left = [f"/etc/fallow/{service.name}.toml", f"/etc/fallow/{service.name}", f"/var/lib/{service.name}"]
        hub_host.run(["rm", "-r", *left])


def case_settings(url: str, audiences: list[str], port: int, state: str) -> str:
    """A hub's settings as the case file wants them: one issuer, with storage below `/vo`."""
    return f"""
name = "cases"
trust_domain = "cases.test"
host = "hub"
listen = "{HUB_ADDRESS}"
account = "{hub.ACCOUNT}"
state_dir = "{state}"
tls_cert = "{hub.TLS}/tls.pem"
tls_key = "{hub.TLS}/tls-key.pem"
audiences = {json.dumps(audiences)}
[ports]
gateway = {port}
[limits]
per_address_per_minute = 100000
per_identity_per_minute = 100000
[storage]
endpoint = "{s3.ENDPOINT}"
bucket = "{s3.BUCKET}"
keys_file = "{s3.KEYS_FILE}"
ca_file = "{hub.TLS}/ca.pem"
[[issuers]]
url = "{url}"
prefix = "/vo"
centre = "alder"
ca_file = "{hub.TLS}/ca.pem"
group_policy = {{ "/vo" = ["read", "stat"], "/vo/prod" = ["read", "stat", "create_file", "create_dir"] }}
[[centres]]
name = "alder"
launcher_issuer = "{url}"
launcher_sub = "nobody-has-this-sub"
"""
