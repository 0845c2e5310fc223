"""One cycle of the matcher: look, decide, carry out, remember."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import FallowError
from fallow.rules import Rules
from fallow.rules.model import CPU
from fallow_matcher import ledger
from fallow_matcher.database import open_database
from fallow_matcher.htcondor.idtokens import DAEMON_RIGHTS
from fallow_matcher.matching import factors, policy, waiting
from fallow_matcher.matching.decision import Decision, decide, following, last, store
from fallow_matcher.matching.fitting import SLOTS, Slots
from fallow_matcher.matching.negotiator import Negotiator
from fallow_matcher.matching.policy import Standings
from fallow_matcher.matching.schedd import Schedd
from fallow_matcher.pool import Pool
from fallow_matcher.room import has_room
from fallow_matcher.rules import InForce, in_force
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Agreed:
    """What the database says: the rules in force and where each centre stands."""

    rules: InForce
    standings: Standings


def on_hub(settings: HubSettings, config: Path) -> Matcher:
    """The matcher of a hub.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
    """
    pool = Pool(settings, DAEMON_RIGHTS)
    return Matcher(settings, pool, Negotiator(settings, pool, config), Schedd(settings, config))


class Looks(Protocol):
    """The pool as the matcher looks at it (`fallow_matcher.pool.Pool`)."""

    def jobs(self, constraint: str, attributes: Sequence[str] = (), limit: int = -1) -> list[Any]:
        """Ads of jobs in the queue."""

    def slots(self, constraint: str, attributes: Sequence[str] = ()) -> list[Any]:
        """Ads of slots."""


class Orders(Protocol):
    """HTCondor as it is told who comes first (`fallow_matcher.matching.negotiator.Negotiator`)."""

    def factors(self) -> Mapping[str, float]:
        """The factor of each submitter."""

    def set_factors(self, factors: Mapping[str, float]) -> None:
        """Set submitters' factors."""

    def arrange(self, giving: Mapping[str, int], *, home_first: bool) -> bool:
        """Say which centres give next and whether home comes first."""


class Takes(Protocol):
    """The queue as it is told what to take and to offer (`fallow_matcher.matching.schedd.Schedd`)."""

    def take(self, rules: Rules, *, room: bool) -> bool:
        """Go by the work types of these rules; take nothing new where there is no room."""

    def offer(self, job: Mapping[str, Any], now: float) -> bool:
        """Offer all that waits, this job among it."""


class Matcher:
    """Decides who ranks where, and has HTCondor go by it.

    All that it keeps is in the database, in HTCondor and in the decision's file: a matcher that starts anew goes on where
    the last one was killed, and while none runs HTCondor goes by what was set last.

    Args:
        settings: The hub's settings.
        pool: What it looks at.
        negotiator: What it tells who comes first.
        schedd: What it tells which work types there are.
        clock: Unix time.
    """

    def __init__(
        self,
        settings: HubSettings,
        pool: Looks,
        negotiator: Orders,
        schedd: Takes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pool = pool
        self._negotiator = negotiator
        self._schedd = schedd
        self._database: Engine | None = None
        self._agreed: Agreed | None = None

    def cycle(self) -> Decision:
        """Decide once.

        Raises:
            FallowError: Queue, collector or negotiator does not answer, or the database never did: the last decision
                stands.
        """
        agreed = self._look_up()
        rules = agreed.rules.rules
        now = self._clock()
        slots = Slots(self._pool.slots(SLOTS), rules)
        jobs = self._pool.jobs(waiting.CONSTRAINT, waiting.ATTRIBUTES)
        found = waiting.sums(jobs, lambda job: slots.kind_of(self._whole(job)), now)
        decision = decide(found.groups, slots.providers(), agreed.standings, agreed.rules, now)
        decision = following(last(self._settings.state_dir), decision)
        self._schedd.take(rules, room=has_room(self._settings))
        self._negotiator.arrange(decision.giving.get(CPU, {}), home_first=rules.home_first)
        wanted = factors.of_groups(policy.order(found.groups, agreed.standings, rules))
        changed = factors.changes(wanted, found.submitters, self._negotiator.factors())
        self._negotiator.set_factors(changed)
        store(self._settings.state_dir, decision)
        if decision.changed_at == now:
            log.info(
                "%s %d groups wait, %d factors were set", decision.change, len(found.groups), len(changed)
            )
        if (waits := waiting.longest(jobs, now)) is not None:
            self._schedd.offer(waits, now)
        return decision

    def _look_up(self) -> Agreed:
        """Rules and standings; those of the last cycle while the database cannot be used."""
        try:
            self._agreed = self._read()
        except (FallowError, SQLAlchemyError) as error:
            if self._agreed is None:
                raise
            log.warning("going on with the rules and balances of the last cycle: %s", error)
        return self._agreed

    def _read(self) -> Agreed:
        if self._database is None:
            self._database = open_database(self._settings.database_url)
        rules = in_force(self._database)
        now = self._clock()
        self._ingest(self._database, rules, now)
        return Agreed(rules, ledger.standings(self._database, now, rules.rules))

    def _ingest(self, database: Engine, rules: InForce, now: float) -> None:
        running = self._pool.jobs(ledger.RUNNING, ledger.ATTRIBUTES)
        queue = self._settings.schedd_name if self._settings.pair else ""
        taken = ledger.ingest(database, rules.rules, self._settings.state_dir / "spool", running, now, queue)
        log.debug("the ledger took in %s", taken)

    def _whole(self, job: Mapping[str, Any]) -> Any:
        """The whole ad of a job; what is known of it if it has left the queue meanwhile."""
        constraint = f"ClusterId == {int(job['ClusterId'])} && ProcId == {int(job['ProcId'])}"
        return next(iter(self._pool.jobs(constraint, limit=1)), job)
