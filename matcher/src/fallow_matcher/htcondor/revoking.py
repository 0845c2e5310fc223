"""Revoking, and heeding what the other of two hubs has revoked: their database tells each the other's last word."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Boolean, Column, Double, Engine, String, Table, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import NotAvailableError, UsageError
from fallow_matcher.database import Base, alone, open_database, reading, writing
from fallow_matcher.gateway.audit import audit_file, records_of
from fallow_matcher.htcondor import effective, revocation
from fallow_matcher.htcondor.configure import write
from fallow_matcher.htcondor.revocation import Revoked
from fallow_matcher.identities import pilot_identity
from fallow_matcher.operation import account
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)

REVOCATION = Table(
    "revocation",
    Base.metadata,
    Column("kind", String(6), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("revoked", Boolean, nullable=False),
    Column("changed", Double, nullable=False),
)
"""The last word on each centre or token (`jti`), of either of two hubs; a federation with one hub has none."""

CENTRE, JTI = "centre", "jti"
_LOCK = 0x52_65_76_6F_6B_65  # "Revoke": two operators take turns

Words = Mapping[tuple[str, str], bool]
"""By kind and name, whether it is revoked."""


def apply(settings: HubSettings, config: Path, jtis: frozenset[str]) -> None:
    """Have HTCondor go by the file, and end the connections that these newly revoked tokens hold.

    Raises:
        NotAvailableError: It does not run; it goes by the file when it does.
    """
    effective.reconfigure(config, settings.account)
    if any(outlives_revocation(settings, jti) for jti in jtis):
        effective.restart_collector(config, settings.account)


def outlives_revocation(settings: HubSettings, jti: str) -> bool:
    """Whether a connection made with the token `jti` may outlive it: a pilot keeps one open for its updates.

    A token that the gateway's record does not know is taken for a pilot's.
    """
    records = list(records_of(audit_file(settings.state_dir), jti))
    given_to = {record.get("identity") for record in records if record.get("issued_jti") == jti}
    pilots = {pilot_identity(centre, settings.trust_domain) for centre in settings.centre_names}
    return not records or not given_to.isdisjoint(pilots)


Applies = Callable[[HubSettings, Path, frozenset[str]], None]
"""Has HTCondor go by the file of revocations; see `apply`."""


def revoke(
    settings: HubSettings,
    config: Path,
    *,
    centre: str | None = None,
    jti: str | None = None,
    undo: bool = False,
    apply: Applies = apply,
) -> None:
    """Revoke a centre or a token, or take that back: here at once, at the other of two hubs with its matcher's next cycle.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
        centre: The centre, or else.
        jti: The token's id.
        undo: Take it back.
        apply: Has HTCondor go by it.

    Raises:
        UsageError: Neither or both of centre and `jti`, an unknown centre, or a `jti` that cannot be one.
        NotAvailableError: HTCondor or the database of two hubs does not answer; what could be done was.
    """
    kind, name = _one(settings, centre, jti)
    words = {(kind, name): not undo}
    away: NotAvailableError | None = None
    if settings.pair is not None:
        try:
            account.as_account(settings.account, _tell, settings.database_url, words, time.time())
        except NotAvailableError as error:
            away = error
    _keep(settings, with_words(revocation.read(revocation.file_of(settings)), words))
    apply(settings, config, frozenset({name}) if kind == JTI and not undo else frozenset())
    if away is not None:
        raise NotAvailableError(
            f"It is done here, and the other hub does not know of it: {away.what}",
            remedy="Do it there as well.",
        )


def _one(settings: HubSettings, centre: str | None, jti: str | None) -> tuple[str, str]:
    if centre is not None and jti is None:
        if centre in settings.centre_names:
            return CENTRE, centre
        raise UsageError(
            f"{centre} is no centre of this federation.", remedy=f"One of {settings.centre_names}."
        )
    if jti is not None and centre is None:
        revocation.add(Revoked(), jti=jti)
        return JTI, jti
    raise UsageError("Name one thing to revoke.", remedy="Give --centre or --jti.")


def with_words(revoked: Revoked, words: Words) -> Revoked:
    """What is revoked when the last words count; of what nobody said anything stays as it is."""
    for (kind, name), yes in words.items():
        change = revocation.add if yes else revocation.remove
        revoked = change(revoked, centre=name) if kind == CENTRE else change(revoked, jti=name)
    return revoked


class Heeding:
    """One of two hubs goes by what either has revoked.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
        opened: Opens the database of both hubs.
        apply: Has HTCondor go by it.
    """

    def __init__(
        self,
        settings: HubSettings,
        config: Path,
        opened: Callable[[str], Engine] = open_database,
        apply: Applies = apply,
    ) -> None:
        self._settings = settings
        self._config = config
        self._opened = opened
        self._apply = apply
        self._database: Engine | None = None
        self._late: frozenset[str] | None = frozenset()
        """The tokens whose connections have still to be ended; None where HTCondor goes by the file."""

    def cycle(self) -> bool:
        """Take over the last words; whether HTCondor was told to go by them.

        Raises:
            NotAvailableError: The database or HTCondor does not answer; the next cycle goes on.
        """
        if self._database is None:
            self._database = self._opened(self._settings.database_url)
        before = revocation.read(revocation.file_of(self._settings))
        after = with_words(before, _told(self._database))
        if after != before:
            _keep(self._settings, after)
            log.info("the other hub's word on %s", _names(before, after))
            self._late = (self._late or frozenset()) | (after.jtis - before.jtis)
        if self._late is None:
            return False
        self._apply(self._settings, self._config, self._late)
        self._late = None
        return True


def _names(before: Revoked, after: Revoked) -> str:
    return ", ".join(sorted((before.centres ^ after.centres) | (before.jtis ^ after.jtis)))


def _keep(settings: HubSettings, revoked: Revoked) -> None:
    entry = account.entry(settings.account)
    text = revocation.render(revoked, settings.trust_domain)
    write(revocation.file_of(settings), text, 0o644, (entry.pw_uid, entry.pw_gid))


def _tell(url: str, words: Words, now: float) -> None:
    """Leave the last word in the database.

    Raises:
        NotAvailableError: It cannot be used.
    """
    engine = open_database(url)
    try:
        with _answering(), writing(engine) as connection:
            alone(connection, _LOCK)
            for (kind, name), revoked in words.items():
                one = (REVOCATION.c.kind == kind) & (REVOCATION.c.name == name)
                connection.execute(delete(REVOCATION).where(one))
                row = {"kind": kind, "name": name, "revoked": revoked, "changed": now}
                connection.execute(insert(REVOCATION), row)
    finally:
        engine.dispose()


def _told(engine: Engine) -> Words:
    with _answering(), reading(engine) as connection:
        return {(row.kind, row.name): row.revoked for row in connection.execute(select(REVOCATION))}


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise NotAvailableError(
            f"The database cannot be used: {type(error).__name__}.", retryable=True
        ) from error
