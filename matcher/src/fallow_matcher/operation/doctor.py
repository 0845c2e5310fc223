"""`fallow hub doctor`: everything that keeps a hub from working well, now or soon, with what to do about it."""

from __future__ import annotations

import email.utils
import http.client
import json
import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import FallowError
from fallow_matcher.board import health
from fallow_matcher.database.upgrade import revision_of, revisions
from fallow_matcher.gateway.routes import KEYS_PATH, KeyIds
from fallow_matcher.gateway.webidentity import JWKS_PATH, WebIdentity
from fallow_matcher.htcondor import findings, keys
from fallow_matcher.ledger.reconcile import reconcile
from fallow_matcher.operation import checks, look
from fallow_matcher.operation.backup import LAST
from fallow_matcher.operation.checks import Check, State
from fallow_matcher.settings import HubSettings

WEEK_S = 7 * 86400


def doctor(settings: HubSettings, out: Path) -> list[Check]:
    """Look at everything; what cannot be looked at is a finding, too."""
    now = time.time()
    hub = look.Hub(settings)
    return [
        *_parts(settings, now),
        *_configuration(settings, out),
        *_certificate(settings),
        *_ports(settings),
        *_other_hub(settings),
        *_clock(settings),
        _own_name(),
        _disk(settings),
        *_database(hub, now),
        *(checks.token(each.name, each.ends, each.soon, now) for each in health.tokens(settings, now)),
        checks.backup(_last_backup(settings), now),
    ]


def _parts(settings: HubSettings, now: float) -> Iterator[Check]:
    for part in look.status(settings, now):
        remedy = "" if part.well else "Look into its log: journalctl -u 'fallow-hub*', or log/ in state_dir."
        yield Check(part.name, State.OK if part.well else State.WRONG, part.words, remedy)


def _configuration(settings: HubSettings, out: Path) -> Iterator[Check]:
    try:
        found = findings.look(settings, out)
    except FallowError as error:
        yield Check("HTCondor", State.WRONG, error.what, error.remedy)
        return
    for each in found:
        yield Check(each.setting, State.WRONG, f"{each.value or '(empty)'}: {each.problem}", each.remedy)
    if not found:
        yield Check(
            "HTCondor", State.OK, "Its version, configuration, keys and tokens are as they should be."
        )


def _certificate(settings: HubSettings) -> Iterator[Check]:
    try:
        chain, key = settings.tls_cert.read_bytes(), settings.tls_key.read_bytes()
    except OSError as error:
        words = f"{error.filename} cannot be read: {error.strerror}."
        yield Check(
            "certificate", State.WRONG, words, "Give tls_cert and tls_key, readable by the hub's account."
        )
        return
    yield from checks.certificate(chain, key, settings.host, datetime.now(UTC))
    try:
        yield checks.reloaded(chain, look.certificate_served(settings))
    except (OSError, ValueError):
        return  # that the gateway does not answer was said


def _ports(settings: HubSettings) -> Iterator[Check]:
    ports = settings.ports
    for name, port in (("gateway", ports.gateway), ("collector", ports.collector), ("queue", ports.queue)):
        place = f"{settings.listen}:{port}"
        try:
            socket.create_connection((settings.listen, port), timeout=look.CONNECT_S).close()
        except OSError as error:
            yield Check(
                "port",
                State.WRONG,
                f"Nothing listens on {place} ({name}): {error.strerror}.",
                "Run: fallow hub up",
            )
        else:
            yield Check("port", State.OK, f"{name} listens on {place}.")


def _other_hub(settings: HubSettings) -> Iterator[Check]:
    for host in settings.hosts:
        if host == settings.host:
            continue
        try:
            theirs = KeyIds.model_validate_json(_said(settings, KEYS_PATH, host))
            other = set(keys.ids(settings)) ^ set(theirs.ids)
            if json.loads(_said(settings, JWKS_PATH, host)) != WebIdentity(settings).jwks():
                other.add("web-identity")
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = f"{host} does not answer: {error}. Work goes on with this hub."
            yield Check("other hub", State.WRONG, words, "Run there: fallow hub doctor")
            continue
        if other:
            words = f"{host} answers, but has other keys than this hub: {', '.join(sorted(other))}."
            remedy = "Run `fallow hub share` at the first, and `fallow hub join` at the second."
            yield Check("other hub", State.WRONG, words, remedy)
        else:
            yield Check("other hub", State.OK, f"{host} answers, and has keys of the same ids as this hub.")


def _said(settings: HubSettings, path: str, host: str) -> bytes:
    status, said = look.served(settings, path, host)
    if status != 200:
        raise ValueError(f"status {status} to {path}")
    return said


def _clock(settings: HubSettings) -> Iterator[Check]:
    asked = {settings.storage.endpoint: settings.storage.ca_file}
    asked |= {issuer.url: issuer.ca_file for issuer in settings.issuers}
    for url, ca_file in asked.items():
        try:
            theirs = _date(url, ca_file)
        except (OSError, http.client.HTTPException, ValueError) as error:
            yield Check(
                "clock",
                State.WARNING,
                f"{url} does not say what time it is: {error}.",
                "Check that it answers.",
            )
        else:
            yield checks.clock(url, time.time() - theirs)


def _date(url: str, ca_file: Path | None) -> float:
    """The time that a web server says it is (unix time, whole seconds), from its header `Date`."""
    place = urlsplit(url)
    host, port = str(place.hostname), place.port
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=look.CONNECT_S, context=ssl.create_default_context(cafile=ca_file)
        )
        if place.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=look.CONNECT_S)
    )
    try:
        connection.request("HEAD", place.path or "/")
        said = connection.getresponse().getheader("Date")
        if said is None:
            raise ValueError("its answer has no date")
        return email.utils.parsedate_to_datetime(said).timestamp()
    finally:
        connection.close()


def _own_name() -> Check:
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        words = f"The machine's own name {name} has no address: {error.strerror}."
        return Check(
            "own name", State.WARNING, words, "Put it into /etc/hosts: HTCondor starts minutes later without."
        )
    return Check("own name", State.OK, f"The machine's own name {name} has an address.")


def _disk(settings: HubSettings) -> Check:
    try:
        usage = shutil.disk_usage(settings.state_dir)
    except OSError as error:
        return Check("disk", State.WRONG, f"{settings.state_dir}: {error.strerror}.", "Run: fallow hub init")
    return checks.disk(str(settings.state_dir), usage.free, usage.total, settings.limits.least_free_mb)


def _database(hub: look.Hub, now: float) -> Iterator[Check]:
    try:
        found = checks.schema(revision_of(hub.database) or "", revisions())
        yield found
        if found.state is State.OK:
            yield from checks.agreement(reconcile(hub.database, now - WEEK_S, now, now)[0])
    except (FallowError, SQLAlchemyError) as error:
        yield Check("database", State.WRONG, str(error), "See the setting `database`.")


def _last_backup(settings: HubSettings) -> float | None:
    try:
        return float(json.loads((settings.state_dir / LAST).read_text())["began"])
    except (OSError, ValueError, KeyError):
        return None
