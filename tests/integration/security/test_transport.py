"""The network between the parties belongs to an attacker: nothing is in clear text, nobody is taken for another."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fallow.client import ClientSettings, connect
from fallow.errors import NotAvailableError
from fallow.hub import HubClient
from fallow.messages import SCOPE_USER
from fallow.queue.session import bindings, install_token

HOUR = datetime.timedelta(hours=1)


def relay(listening: socket.socket, record: Path) -> None:
    """Pass everything on to the collector, and keep every byte."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        while block := source.recv(65536):
            with record.open("ab") as stream:
                stream.write(block)
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)

    while True:
        near, _ = listening.accept()
        far = socket.create_connection(("hub", 9618))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


def relayed(record: Path) -> str:
    """Query the collector through a relay; the token that was used; called at the desk."""
    listening = socket.create_server(("127.0.0.1", 0))
    # A process of its own: the bindings let no other thread run while they wait.
    between = os.fork()
    if between == 0:
        relay(listening, record)
    try:
        token = connect().exchange(SCOPE_USER).token
        htcondor = bindings()
        install_token("fallow.test", token)
        ads = htcondor.Collector(f"127.0.0.1:{listening.getsockname()[1]}").query(htcondor.AdType.Schedd)
        assert [ad["Name"] for ad in ads] == ["queue@hub"]
    finally:
        os.kill(between, signal.SIGKILL)
        os.waitpid(between, 0)
    return token


def test_neither_token_nor_answer_is_in_clear_text(at: Callable[..., Any], tmp_path: Path) -> None:
    record = tmp_path / "record"
    token = at("alice", relayed, record)
    seen = record.read_bytes()
    assert b"Integrity" in seen, "the handshake went through the relay"
    assert token.encode() not in seen
    assert token.rpartition(".")[2].encode() not in seen, "the signature is what only its holder knows"
    assert b"TotalIdleJobs" not in seen


@pytest.mark.parametrize("what", ["AUTHENTICATION", "ENCRYPTION", "INTEGRITY"])
def test_the_hub_takes_nobody_who_will_not_protect_the_connection(
    attacker: Callable[..., Any], condor_token: Callable[..., str], what: str
) -> None:
    more = "".join(f"SEC_{level}_{what} = NEVER\n" for level in ("DEFAULT", "CLIENT", "READ"))
    somebody = attacker(condor_token("alice"), more=more)
    said = somebody.run("condor_status", "-schedd", "-af", "Name")
    assert said.returncode != 0
    assert "queue@hub" not in said.stdout


@pytest.mark.parametrize("method", ["FS", "CLAIMTOBE", "ANONYMOUS", "PASSWORD", "SSL", "SCITOKENS"])
def test_the_hub_takes_no_other_way_to_say_who_one_is(attacker: Callable[..., Any], method: str) -> None:
    more = "".join(
        f"SEC_{level}_AUTHENTICATION_METHODS = {method}\n" for level in ("DEFAULT", "CLIENT", "READ")
    )
    assert attacker(more=more).run("condor_status", "-schedd", "-af", "Name").returncode != 0


def asks_a_stranger(port: int) -> str:
    """Ask a collector that is not the hub's, as our client does; called at the desk."""
    token = connect().exchange(SCOPE_USER).token
    htcondor = bindings()
    install_token("fallow.test", token)
    try:
        return str(htcondor.Collector(f"cedar:{port}").query(htcondor.AdType.Any))
    except htcondor.HTCondorException as error:
        return f"refused: {error}"


def test_the_client_takes_no_collector_that_cannot_prove_itself(
    attacker: Callable[..., Any], at: Callable[..., Any]
) -> None:
    port = 9777
    more = f"ALLOW_READ = *\nALLOW_DAEMON = *\nCOLLECTOR_HOST = cedar:{port}\nUSE_SHARED_PORT = False\n"
    liar = attacker(more=more)
    liar.run("mkdir", f"{liar.directory}/log", f"{liar.directory}/spool", f"{liar.directory}/execute")
    script = 'LOG=$0/log; condor_collector -f -local-name liar -p "$1" >"$0/out" 2>&1 & echo $! >"$0/pid"'
    liar.run("sh", "-c", script, liar.directory, str(port))
    try:
        for _ in range(100):
            if liar.run("bash", "-c", f"exec 3<>/dev/tcp/cedar/{port}").returncode == 0:
                break
        else:
            pytest.fail(f"no collector: {liar.run('cat', f'{liar.directory}/out').stdout}")
        assert at("alice", asks_a_stranger, port).startswith("refused:")
    finally:
        liar.run("sh", "-c", 'kill "$(cat "$0/pid")"', liar.directory)


def certificate(directory: Path, host: str, ends: datetime.timedelta) -> Path:
    """A self-signed certificate with its key, ending `ends` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - 48 * HOUR)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


def exchanges_with(pem: Path, trusted: bool) -> tuple[str, bytes]:
    """Exchange a token at a server with this certificate: what the client says, what the server read; at the desk."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listening = socket.create_server(("127.0.0.1", 0))
    read: list[bytes] = []

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    while b"the-token" not in b"".join(read) and (block := wrapped.recv(65536)):
                        read.append(block)
            except OSError:
                continue

    threading.Thread(target=serve, daemon=True).start()
    ca = pem if trusted else Path(os.environ["HOME"]) / "ca.pem"
    settings = ClientSettings(hub=f"https://localhost:{listening.getsockname()[1]}", ca_file=ca)
    try:
        HubClient(settings, token=lambda: "the-token").exchange(SCOPE_USER)
    except NotAvailableError as error:
        return str(error), b"".join(read)
    return "", b"".join(read)


@pytest.mark.parametrize(
    ("host", "ends", "trusted"),
    [("localhost", -HOUR, True), ("elsewhere.example", HOUR, True), ("localhost", HOUR, False)],
    ids=["expired", "of another host", "signed by nobody we trust"],
)
def test_a_gateway_with_a_bad_certificate_gets_no_token(
    at: Callable[..., Any], tmp_path: Path, host: str, ends: datetime.timedelta, trusted: bool
) -> None:
    said, read = at("alice", exchanges_with, certificate(tmp_path, host, ends), trusted)
    assert "certificate" in said.lower(), said
    assert read == b""


def test_a_good_certificate_would_have_got_it(at: Callable[..., Any], tmp_path: Path) -> None:
    _, read = at("alice", exchanges_with, certificate(tmp_path, "localhost", HOUR), True)
    assert b"the-token" in read


def hellos() -> dict[str, str]:
    """What the gateway answers to old TLS and to no TLS; called at the desk."""
    found = {}
    for version in (
        ssl.TLSVersion.TLSv1,
        ssl.TLSVersion.TLSv1_1,
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    ):
        context = ssl.create_default_context(cafile=str(Path(os.environ["HOME"]) / "ca.pem"))
        context.set_ciphers("ALL:@SECLEVEL=0")
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        try:
            with (
                socket.create_connection(("hub", 8443)) as raw,
                context.wrap_socket(raw, server_hostname="hub"),
            ):
                found[version.name] = "taken"
        except OSError:
            found[version.name] = "refused"
    with socket.create_connection(("hub", 8443)) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
        try:
            found["none"] = "taken" if b"200" in raw.recv(4096) else "refused"
        except OSError:
            found["none"] = "refused"
    return found


def test_the_gateway_speaks_no_old_tls_and_no_clear_text(at: Callable[..., Any]) -> None:
    refused = dict.fromkeys(["TLSv1", "TLSv1_1", "none"], "refused")
    assert at("alice", hellos) == {**refused, "TLSv1_2": "taken", "TLSv1_3": "taken"}
