"""`fallow hub gateway`: the application over TLS."""

from __future__ import annotations

import logging
import signal
import ssl

import uvicorn

from fallow.errors import SettingsError
from fallow_matcher.capacity.sampler import Sampler
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.renewal import Renewal
from fallow_matcher.gateway.services import build
from fallow_matcher.settings import HubSettings, require_private

logger = logging.getLogger(__name__)


def serve(settings: HubSettings) -> None:
    """Serve until a signal ends it.

    Raises:
        SettingsError: Certificate, key or another file is missing, unreadable or readable by others.
    """
    require_private(settings.tls_key, "tls_key")
    services = build(settings)
    config = uvicorn.Config(
        create_app(services),
        host=settings.listen,
        port=settings.ports.gateway,
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=str(settings.tls_cert),
        ssl_keyfile=str(settings.tls_key),
        timeout_keep_alive=30,
        limit_concurrency=256,
        timeout_graceful_shutdown=5,  # streams of the page do not end by themselves
        h11_max_incomplete_event_size=65536,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"tls_cert ({settings.tls_cert}) and tls_key ({settings.tls_key}) cannot be used: {error}.",
            remedy="Give a PEM certificate chain and its key.",
            setting="tls_cert",
        ) from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        served = config.ssl
        signal.signal(signal.SIGHUP, lambda *_: renew_certificate(served, settings))
    logger.info("serving https://%s:%s", settings.listen, settings.ports.gateway)
    renewal = Renewal(settings)
    renewal.start()
    sampler = Sampler(services.pool, services.offers, services.database, settings.capacity_sample_s)
    sampler.start()
    services.fence.start()
    services.keeper.start()
    try:
        uvicorn.Server(config).run()
    finally:
        sampler.close()
        renewal.close()
        services.close()


def renew_certificate(served: ssl.SSLContext, settings: HubSettings) -> None:
    """Show new connections the certificate that lies in its file now; one that cannot be used changes nothing."""
    try:
        require_private(settings.tls_key, "tls_key")
        # Tried first: a pair that does not match would leave the context in use without a key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        served.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, SettingsError) as error:
        logger.warning("the certificate stays the old one: %s", error)
    else:
        logger.info("read the certificate %s again", settings.tls_cert)
