"""Where keys come from: a real HTTPS server, its failures, and the files that outlive it."""

from __future__ import annotations

import functools
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fallow.errors import NotAvailableError
from fallow.tokens import TokenError, TrustedIssuer, TrustedIssuers, Validator, default_validator, validate
from fallow.tokens.fetch import fetch_json
from fallow.tokens.metadata import locations
from fallow.tokens.store import KeyStore, Stored

NOW = 1767225600
HOUR = 3600
AUDIENCE = "https://storage.site.org"
OIDC = "/.well-known/openid-configuration"


class IssuerServer:
    """An issuer's web server: pages that the test may change, and a list of what was asked."""

    def __init__(self, context: ssl.SSLContext | None, signer: Any, path: str = "") -> None:
        self.asked: list[str] = []
        self.pages: dict[str, Any] = {}
        self.release = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                page = owner.pages.get(self.path, 404)
                if callable(page):
                    page(self)
                elif isinstance(page, int):
                    self.send_error(page)
                else:
                    body = page if isinstance(page, bytes) else json.dumps(page).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                """Say nothing of clients that go away."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if context:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if context else "http"
        self.root = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.root + path
        self.pages[path + OIDC] = {"issuer": self.url, "jwks_uri": self.root + "/jwks"}
        self.pages["/jwks"] = signer.jwks()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self.release.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class Context:
    """A relying party of one issuer on a server of its own; the tokens are signed by `signer`."""

    def __init__(self, directory: Path, authority: trustme.CA, server: IssuerServer, signer: Any) -> None:
        self.directory, self.server, self.signer = directory / "keys", server, signer
        self.ca_file = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.issuer = TrustedIssuer(url=server.url, ca_file=self.ca_file)
        self.settings = TrustedIssuers(issuers=[self.issuer], cache_dir=self.directory)
        self.restart()

    def restart(self, **changes: Any) -> None:
        self.validator = Validator(self.settings, **changes)

    def token(self, kid: str = "key1", now: float = NOW, signer: Any = None, **header: Any) -> str:
        claims: dict[str, Any] = {
            "wlcg.ver": "1.0",
            "iss": self.server.url,
            "sub": "s",
            "aud": AUDIENCE,
            "jti": "j",
        }
        claims = {**claims, "iat": now, "exp": now + HOUR, "scope": "storage.read:/"}
        return str((signer or self.signer).token(claims, {"alg": "ES256", "kid": kid, **header}))

    def code(self, token: str, now: float = NOW) -> str:
        try:
            self.validator.validate(token, AUDIENCE, now)
        except TokenError as error:
            return error.code + ("?" if error.retryable else "")
        return "accept"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve(authority: trustme.CA, signer: Any) -> Iterator[Callable[..., IssuerServer]]:
    running = []

    def start(name: str | None = "127.0.0.1", path: str = "", by: trustme.CA = authority) -> IssuerServer:
        context = None
        if name:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            by.issue_cert(name).configure_cert(context)
        running.append(IssuerServer(context, signer, path))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def world(tmp_path: Path, authority: trustme.CA, serve: Callable[..., IssuerServer], signer: Any) -> Context:
    return Context(tmp_path, authority, serve(), signer)


# Finding the keys


def test_keys_are_found_by_oidc_discovery_and_asked_for_once(world: Context) -> None:
    assert [world.code(world.token(now=NOW + later), NOW + later) for later in range(5)] == ["accept"] * 5
    assert world.server.asked == [OIDC, "/jwks"]


@pytest.mark.parametrize(
    "place",
    ["/.well-known/oauth-authorization-server/vo", "/.well-known/openid-configuration/vo", "/vo" + OIDC],
)
def test_metadata_of_an_issuer_with_a_path_is_found_in_each_place(
    place: str, tmp_path: Path, authority: trustme.CA, serve: Callable[..., IssuerServer], signer: Any
) -> None:
    world = Context(tmp_path, authority, serve(path="/vo"), signer)
    world.server.pages[place] = world.server.pages.pop("/vo" + OIDC)
    assert world.code(world.token()) == "accept"


def test_the_places_of_metadata_are_those_of_the_two_standards() -> None:
    assert locations("https://a.org/vo/") == [
        "https://a.org/vo/.well-known/openid-configuration",
        "https://a.org/.well-known/openid-configuration/vo",
        "https://a.org/.well-known/oauth-authorization-server/vo",
    ]


def test_metadata_of_another_issuer_is_not_used(world: Context) -> None:
    world.server.pages[OIDC]["issuer"] += "/"
    assert world.code(world.token()) == "unknown_key?"
    assert "/jwks" not in world.server.asked


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "http://127.0.0.1:1/jwks",
        "https://u:p@127.0.0.1/",
        7,
        "//x",
        "https://[",
        "https://127.0.0.1:99999/",
        "https://\x00/",
        "https://",
    ],
)
def test_keys_are_not_fetched_from_what_is_no_plain_https_url(world: Context, uri: Any) -> None:
    world.server.pages[OIDC]["jwks_uri"] = uri
    assert world.code(world.token()) == "unknown_key?"


def test_nobody_is_asked_for_an_issuer_that_is_not_trusted(
    world: Context, serve: Callable[..., IssuerServer], attacker: Any
) -> None:
    other = serve()
    claims = {"iss": other.url, "sub": "s", "aud": AUDIENCE, "jti": "j", "iat": NOW, "exp": NOW + HOUR}
    header = {"alg": "ES256", "kid": "key1", "jku": other.root + "/jwks", "x5u": other.root + "/x5u"}
    assert world.code(attacker.token({"wlcg.ver": "1.0", **claims}, header)) == "untrusted_issuer"
    assert other.asked == world.server.asked == []


def test_an_address_in_the_header_is_never_asked(
    world: Context, serve: Callable[..., IssuerServer], attacker: Any
) -> None:
    other = serve()
    token = world.token(signer=attacker, jku=other.root + "/jwks", x5u=other.root + "/x5u")
    assert world.code(token) == "invalid_token"
    assert other.asked == []


# Bounds of a fetch


def test_a_redirect_is_not_followed(world: Context, serve: Callable[..., IssuerServer]) -> None:
    other = serve()

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", other.root + "/jwks")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    world.server.pages["/jwks"] = redirect
    assert world.code(world.token()) == "unknown_key?"
    assert other.asked == []


@pytest.mark.parametrize(
    "page", [b" " * 256 * 1024 + b"{}", b"[]", b"{", b"[" * 9999, b'{"keys":1}', b"\xff", 500]
)
def test_a_bad_answer_is_no_key_set(world: Context, page: Any) -> None:
    world.server.pages["/jwks"] = page
    assert world.code(world.token()) == "unknown_key?"


@pytest.mark.parametrize(
    "drip", [b"HTTP/1.1 200 OK\r\n\r\n{", b"HTTP/1.1 200", b""], ids=["body", "header", "silence"]
)
def test_a_server_that_never_ends_its_answer_is_given_up(world: Context, drip: bytes) -> None:
    def hang(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(drip)
        handler.wfile.flush()
        handler.close_connection = True
        world.server.release.wait()

    world.server.pages["/jwks"] = hang
    world.restart(fetch=functools.partial(fetch_json, deadline_s=0.3))
    assert world.code(world.token()) == "unknown_key?"


def test_a_certificate_for_another_host_is_refused(
    tmp_path: Path, authority: trustme.CA, serve: Callable[..., IssuerServer], signer: Any
) -> None:
    world = Context(tmp_path, authority, serve("localhost"), signer)
    assert world.code(world.token()) == "unknown_key?"
    assert world.server.asked == []


def test_a_certificate_of_another_authority_is_refused(
    tmp_path: Path, authority: trustme.CA, serve: Callable[..., IssuerServer], signer: Any
) -> None:
    world = Context(tmp_path, authority, serve(by=trustme.CA()), signer)
    assert world.code(world.token()) == "unknown_key?"
    assert world.server.asked == []


def test_the_environment_does_not_say_whom_to_trust_or_through_whom_to_go(
    world: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    assert world.code(world.token()) == "accept"


def test_plain_http_works_on_this_machine_where_it_is_allowed(
    serve: Callable[..., IssuerServer], tmp_path: Path, authority: trustme.CA, signer: Any
) -> None:
    server = serve(None)
    issuer = TrustedIssuer(url=server.url, allow_loopback_http=True)
    assert fetch_json(server.root + "/jwks", issuer) == signer.jwks()
    with pytest.raises(NotAvailableError, match="not a plain https"):
        fetch_json(server.root + "/jwks", issuer.model_copy(update={"allow_loopback_http": False}))


# Refresh and expiry


def test_keys_are_fetched_again_after_six_hours(world: Context, attacker: Any) -> None:
    assert world.code(world.token()) == "accept"
    world.server.pages["/jwks"] = attacker.jwks()
    just_before, after = NOW + 6 * HOUR - 1, NOW + 6 * HOUR
    assert world.code(world.token(now=just_before), just_before) == "accept"
    assert world.code(world.token(now=after), after) == "invalid_token"
    assert world.code(world.token(now=after, signer=attacker), after) == "accept"


def test_a_known_token_is_refused_once_its_key_is_withdrawn(world: Context, attacker: Any) -> None:
    token = world.token(now=NOW + 6 * HOUR - 60)
    assert world.code(world.token()) == "accept"
    assert world.code(token, NOW + 6 * HOUR - 1) == "accept"
    world.server.pages["/jwks"] = {"keys": []}
    assert world.code(token, NOW + 6 * HOUR) == "unknown_key"


def test_a_key_that_moves_to_another_address_is_found_at_the_next_refresh(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.pages["/new"] = world.server.pages.pop("/jwks")
    world.server.pages[OIDC]["jwks_uri"] = world.server.root + "/new"
    later = NOW + 7 * HOUR
    assert world.code(world.token(now=later), later) == "accept"
    assert world.server.asked[-1] == "/new"


def test_a_dead_issuer_keeps_working_for_two_days_and_no_longer(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.stop()
    for later, expected in [(7 * HOUR, "accept"), (48 * HOUR - 1, "accept"), (48 * HOUR, "unknown_key?")]:
        assert world.code(world.token(now=NOW + later), NOW + later) == expected


def test_a_dead_issuer_is_asked_at_most_every_five_minutes(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.pages[OIDC] = 503
    before = world.server.asked.count(OIDC)
    for later in range(7 * HOUR, 7 * HOUR + 301, 10):
        assert world.code(world.token(now=NOW + later), NOW + later) == "accept"
    assert world.server.asked.count(OIDC) == before + 2


def test_an_issuer_without_any_known_key_is_asked_every_ten_seconds(world: Context) -> None:
    world.server.pages[OIDC] = 503
    for later in range(21):
        assert world.code(world.token(now=NOW), NOW + later) == "unknown_key?"
    assert world.server.asked.count(OIDC) == 3


def test_an_issuer_that_comes_back_is_heard_again(world: Context) -> None:
    page, world.server.pages["/jwks"] = world.server.pages["/jwks"], 503
    assert world.code(world.token()) == "unknown_key?"
    world.server.pages["/jwks"] = page
    assert world.code(world.token(), NOW + 10) == "accept"


def test_a_new_key_is_taken_at_once(world: Context, attacker: Any) -> None:
    assert world.code(world.token()) == "accept"
    fresh = {**attacker.jwks()["keys"][0], "kid": "key2"}
    world.server.pages["/jwks"] = {"keys": [*world.server.pages["/jwks"]["keys"], fresh]}
    assert world.code(world.token("key2", signer=attacker)) == "accept"
    assert world.code(world.token()) == "accept"


def test_a_thousand_unknown_key_ids_cause_one_fetch(world: Context, attacker: Any) -> None:
    assert world.code(world.token()) == "accept"
    before = len(world.server.asked)
    codes = {world.code(world.token(f"nope-{i}", signer=attacker)) for i in range(1000)}
    assert (codes, world.server.asked[before:]) == ({"unknown_key"}, ["/jwks"])


def test_a_thousand_unknown_key_ids_cause_one_fetch_also_on_an_empty_cache(
    world: Context, attacker: Any
) -> None:
    for i in range(1000):
        world.code(world.token(f"nope-{i}", signer=attacker))
    assert world.server.asked == [OIDC, "/jwks"]


def test_many_threads_cause_one_fetch(world: Context, attacker: Any) -> None:
    tokens = [world.token("key1" if i % 2 else f"nope-{i}") for i in range(64)]
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(world.code, tokens))
    assert codes == ["unknown_key", "accept"] * 32
    assert world.server.asked == [OIDC, "/jwks"]


def test_a_good_token_does_not_wait_for_a_refresh_in_another_thread(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    asked = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        world.server.release.wait()
        handler.send_error(503)

    world.server.pages[OIDC] = hang
    later = NOW + 7 * HOUR
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.code, world.token(now=later), later)
        assert asked.wait(60)
        assert world.code(world.token(now=later), later) == "accept"
        assert not waiting.done()
        world.server.release.set()
        assert waiting.result() == "accept"


def test_a_clock_that_was_set_back_makes_keys_old(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    before = NOW - 24 * HOUR
    assert world.code(world.token(now=before), before) == "accept"
    assert world.server.asked.count("/jwks") == 2


# Keys on disk


def test_a_restart_needs_no_network(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    world.server.stop()
    world.restart()
    assert world.code(world.token()) == "accept"


def test_stored_keys_are_private_and_whole(world: Context) -> None:
    assert world.code(world.token()) == "accept"
    path = KeyStore(world.directory).path(world.issuer.url)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert world.directory.stat().st_mode & 0o7777 == 0o700
    assert [each.name for each in world.directory.iterdir()] == [path.name]


def test_stored_keys_that_are_two_days_old_are_not_used(world: Context) -> None:
    store = KeyStore(world.directory)
    store.save(world.issuer.url, Stored(NOW - 48 * HOUR, world.signer.jwks()))
    world.server.stop()
    assert world.code(world.token()) == "unknown_key?"


def test_stored_keys_from_the_future_are_not_used(world: Context) -> None:
    store = KeyStore(world.directory)
    store.save(world.issuer.url, Stored(NOW + HOUR, world.signer.jwks()))
    world.server.stop()
    assert world.code(world.token()) == "unknown_key?"


def test_keys_that_another_user_could_have_written_are_not_used(
    world: Context, attacker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyStore(world.directory)
    store.save(world.issuer.url, Stored(NOW, attacker.jwks()))
    store.path(world.issuer.url).chmod(0o666)
    assert world.code(world.token(signer=attacker)) == "invalid_token"
    assert "are not used" in caplog.text


def test_stored_keys_behind_a_link_are_not_used(world: Context, attacker: Any, tmp_path: Path) -> None:
    elsewhere = KeyStore(tmp_path / "elsewhere")
    elsewhere.save(world.issuer.url, Stored(NOW, attacker.jwks()))
    world.directory.mkdir()
    KeyStore(world.directory).path(world.issuer.url).symlink_to(elsewhere.path(world.issuer.url))
    assert world.code(world.token(signer=attacker)) == "invalid_token"


def test_stored_keys_of_another_issuer_are_not_used(world: Context, attacker: Any) -> None:
    store = KeyStore(world.directory)
    store.save("https://evil.example", Stored(NOW, attacker.jwks()))
    os.replace(store.path("https://evil.example"), store.path(world.issuer.url))  # noqa: PTH105
    assert world.code(world.token(signer=attacker)) == "invalid_token"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries({"fetched_at": JSON | st.just(NOW), "jwks": JSON})
    | st.fixed_dictionaries({"keys": JSON}).map(lambda jwks: {"fetched_at": NOW, "jwks": jwks})
)
def test_whatever_is_in_the_file_good_tokens_pass_and_bad_ones_do_not(
    world: Context, attacker: Any, content: Any
) -> None:
    path = KeyStore(world.directory).path(world.issuer.url)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else json.dumps({"issuer": world.issuer.url, **content}).encode()
    )
    path.chmod(0o600)
    world.restart()
    assert world.code(world.token()) == "accept"
    assert world.code(world.token(signer=attacker)) == "invalid_token"


def test_a_directory_that_cannot_be_written_is_a_warning(
    world: Context, caplog: pytest.LogCaptureFixture
) -> None:
    world.directory.write_text("a file where the directory should be")
    assert world.code(world.token()) == "accept"
    assert "are not kept in" in caplog.text


# The validator of the settings file


def test_the_module_level_validator_reads_the_settings_file(
    world: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "issuers.toml"
    file.write_text(
        f'[[issuers]]\nurl = "{world.server.url}"\nca_file = "{world.ca_file}"\ncentre = "alpha"\n'
    )
    monkeypatch.setenv("FALLOW_ISSUERS", str(file))
    assert validate(world.token(), AUDIENCE, NOW).issuer.centre == "alpha"
    assert default_validator() is default_validator()
