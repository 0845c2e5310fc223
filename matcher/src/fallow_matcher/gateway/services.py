"""What the routes work with, put together once from the hub's settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from fallow.rules.history import HistoryError
from fallow.tokens import Claims, Validator
from fallow_matcher import rules
from fallow_matcher.board.figures import Reader
from fallow_matcher.board.jobs import OwnJobs
from fallow_matcher.board.keeper import Keeper
from fallow_matcher.board.live import MOST_STREAMS
from fallow_matcher.board.sessions import Sessions
from fallow_matcher.board.signin import SignIn
from fallow_matcher.capacity.offers import OfferStore
from fallow_matcher.database import open_database
from fallow_matcher.explain.fence import Fence
from fallow_matcher.gateway.access import Callers
from fallow_matcher.gateway.audit import Audit, audit_file
from fallow_matcher.gateway.limits import Limits
from fallow_matcher.gateway.s3 import Store
from fallow_matcher.htcondor import keys, revocation
from fallow_matcher.htcondor.idtokens import Mint
from fallow_matcher.images.wanted import ATTRIBUTES, MOST_JOBS, WAITING, Needs
from fallow_matcher.pool import Pool
from fallow_matcher.settings import HubSettings


@dataclass(frozen=True)
class Services:
    """Everything that a request may need."""

    settings: HubSettings
    callers: Callers
    limits: Limits
    mint: Mint
    offers: OfferStore
    store: Store
    audit: Audit
    database: Engine
    pool: Pool
    fence: Fence
    needs: Needs
    keeper: Keeper
    sessions: Sessions
    sign_in: SignIn
    own_jobs: OwnJobs
    streams: asyncio.Semaphore
    """Taken by each stream of the page."""
    launchers: dict[str, Claims] = field(default_factory=dict)
    """The last token of each centre's launcher that published an offer since the gateway's start, by centre."""

    def close(self) -> None:
        """Close what is open."""
        self.keeper.close()
        self.own_jobs.close()
        self.audit.close()
        self.database.dispose()


class Revocations:
    """What is revoked now, read again whenever the file changes.

    Args:
        path: The file that `fallow hub revoke` writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._revoked = revocation.Revoked()

    def now(self) -> revocation.Revoked:
        """What is revoked.

        Raises:
            SettingsError: The file cannot be read: better no token than one for a revoked centre.
        """
        found = self._path.stat() if self._path.exists() else None
        stamp = (found.st_mtime_ns, found.st_ino) if found else None
        if stamp is None or stamp != self._read_at:
            self._revoked = revocation.read(self._path)
            self._read_at = stamp
        return self._revoked


def build(settings: HubSettings, *, validate: Callable[..., Claims] | None = None) -> Services:
    """Put the services together.

    Args:
        settings: The hub's settings.
        validate: Stands in for the token validator.

    Raises:
        SettingsError: A key or file that is needed is missing or readable by others.
    """
    revocations = Revocations(revocation.file_of(settings))
    revocations.now()
    for role in keys.roles(settings):
        keys.load(keys.directory(settings), keys.newest(keys.directory(settings), role))
    mint = Mint(settings.trust_domain, keys.directory(settings))
    database = open_database(settings.database_url)
    with contextlib.suppress(HistoryError):  # every call about the rules will say so
        rules.settle(database, settings.centre_names, datetime.now(UTC))
    pool = Pool(settings)
    offers = OfferStore(database)
    return Services(
        settings=settings,
        callers=Callers(settings, validate or Validator(settings.trusted).validate, mint, revocations.now),
        limits=Limits(settings.limits),
        mint=mint,
        offers=offers,
        store=Store(settings.storage),
        audit=Audit(audit_file(settings.state_dir)),
        database=database,
        pool=pool,
        fence=Fence(),
        needs=Needs(lambda: pool.jobs(WAITING, ATTRIBUTES, MOST_JOBS)),
        keeper=Keeper(Reader(settings, offers, database), settings.matching_interval_s),
        sessions=Sessions(database),
        sign_in=SignIn(settings),
        own_jobs=OwnJobs(settings, pool),
        streams=asyncio.Semaphore(MOST_STREAMS),
    )
