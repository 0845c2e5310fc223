"""An issuer's web server that tests may change, and who relies on it."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from tests.federation.tokens.conftest import AUDIENCE, NOW

from fallow.tokens import TokenError, TrustedIssuer, TrustedIssuers, Validator

HOUR = 3600
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
