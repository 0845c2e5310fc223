"""Where keys come from: a real HTTPS server, what it may answer, and how much of it is heard."""

from __future__ import annotations

import functools
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.federation.tokens.conftest import AUDIENCE, NOW
from tests.federation.tokens.keys.issuer import HOUR, OIDC, Context, IssuerServer

from fallow.errors import NotAvailableError
from fallow.tokens import TrustedIssuer, default_validator, validate
from fallow.tokens.fetch import fetch_json
from fallow.tokens.metadata import locations


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
