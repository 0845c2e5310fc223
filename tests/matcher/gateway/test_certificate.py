"""A renewed certificate is shown without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.matcher.operation.test_checks import pair

from fallow_matcher.gateway.serve import renew_certificate
from fallow_matcher.settings import HubSettings


def put(settings: HubSettings) -> bytes:
    """A new certificate and key into their files; the certificate (DER)."""
    _, certificate, key = pair()
    settings.tls_cert.write_bytes(certificate)
    settings.tls_key.touch(mode=0o600)
    settings.tls_key.write_bytes(key)
    return ssl.PEM_cert_to_DER_cert(certificate.decode())


def shown(context: ssl.SSLContext) -> bytes:
    """The certificate that a server with this context shows (DER)."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert(binary_form=True) or b""


def test_the_certificate_in_the_file_is_shown_from_now_on(settings: HubSettings) -> None:
    put(settings)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(settings.tls_cert, settings.tls_key)
    new = put(settings)
    assert shown(served) != new
    renew_certificate(served, settings)
    assert shown(served) == new


def test_a_certificate_that_cannot_be_used_changes_nothing(settings: HubSettings, tmp_path: Path) -> None:
    old = put(settings)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(settings.tls_cert, settings.tls_key)
    key = settings.tls_key.read_bytes()
    put(settings)
    settings.tls_key.write_bytes(key)  # that of the old one
    renew_certificate(served, settings)
    assert shown(served) == old
    put(settings)
    settings.tls_key.chmod(0o644)
    renew_certificate(served, settings)
    assert shown(served) == old
