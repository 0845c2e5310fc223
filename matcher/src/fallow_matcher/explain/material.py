"""Reads what an explanation is made of: a few large questions to queue, collector and database, none for each job."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from fallow.capacity import CapacityPoint
from fallow.errors import NotAvailableError
from fallow.queue.records import JobState, record
from fallow_matcher import ledger
from fallow_matcher.capacity import series
from fallow_matcher.capacity.offers import OfferStore
from fallow_matcher.capacity.sample import SLOTS
from fallow_matcher.explain.order import ATTRIBUTES, Waiter, waiter
from fallow_matcher.explain.situation import Situation
from fallow_matcher.gateway.s3 import Store
from fallow_matcher.ledger import reports
from fallow_matcher.matching import decision, waiting
from fallow_matcher.pool import Pool
from fallow_matcher.rules import in_force
from fallow_matcher.settings import HubSettings

logger = logging.getLogger(__name__)

_NUMBERS = (
    "Name", "FallowCentre", "FallowPilot", "FallowUntil", "Cpus", "Memory", "Disk", "GPUs",
    "TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs",
)  # fmt: skip
_SIZE = ("FallowCentre", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs")
_MOST_WHOLE = 200
"""Slots of which the whole ad is read."""

_SEEN_S = 900
"""The collector forgets the slots of a pilot that has left well before that, and ignores whoever would remove them."""
_AROUND_S = 600
"""How far from a job's start the capacity of that moment is looked for."""


@dataclass(frozen=True)
class Sources:
    """Where everything is read."""

    settings: HubSettings
    pool: Pool
    offers: OfferStore
    database: Engine
    store: Store


def situation_of(sources: Sources, cluster: int, process: int, user: str) -> Situation | None:
    """The situation of one job of `user` (an HTCondor identity); None where that user has no such job.

    Raises:
        NotAvailableError: Queue or collector does not answer.
    """
    job = _job(sources.pool, cluster, process, user)
    if job is None:
        return None
    now = time.time()
    about, rules = record(job), in_force(sources.database)
    slots = _slots(sources, now)
    return Situation(
        now=now,
        job=job,
        rules=rules,
        offers=sources.offers.standing(datetime.fromtimestamp(now, UTC)),
        centres=sources.settings.centre_names,
        slots=[_plain(slot) for slot in slots],
        whole=_whole(sources.pool, slots, about.pilot),
        waiters=_waiters(sources.pool) if about.state is JobState.WAITING else (),
        standings=ledger.standings(sources.database, now, rules.rules),
        decision=decision.last(sources.settings.state_dir),
        changes=sources.offers.changes(),
        then=_then(sources.database, about.centre, about.started),
        image_there=_image_there(sources.store, job) if about.state is JobState.WAITING else None,
    )


def situation_now(sources: Sources) -> Situation:
    """What there is for jobs that are not submitted yet.

    Raises:
        NotAvailableError: The collector does not answer.
    """
    now = time.time()
    slots = _slots(sources, now)
    return Situation(
        now=now,
        job=None,
        rules=in_force(sources.database),
        offers=sources.offers.standing(datetime.fromtimestamp(now, UTC)),
        centres=sources.settings.centre_names,
        slots=[_plain(slot) for slot in slots],
        whole=_whole(sources.pool, slots, None),
    )


def _slots(sources: Sources, now: float) -> list[Any]:
    """The pilots' slots, without those of pilots that have said that they ended."""
    gone = reports.ended(sources.database, now - _SEEN_S)
    return [slot for slot in sources.pool.slots(SLOTS, _NUMBERS) if slot.get("FallowPilot") not in gone]


def _job(pool: Pool, cluster: int, process: int, user: str) -> Any:
    one = f"ClusterId == {cluster} && ProcId == {process}"
    found = pool.jobs(one, limit=1) or pool.history(one, match=1)
    return found[0] if found and found[0].get("User") == user else None


def _waiters(pool: Pool) -> list[Waiter]:
    return [waiter(ad) for ad in pool.jobs(waiting.CONSTRAINT, ATTRIBUTES)]


def _whole(pool: Pool, slots: Sequence[Mapping[str, Any]], pilot: str | None) -> list[Any]:
    """Whole ads of one slot of each centre and size, and of the job's own pilot."""
    import classad2

    names = {tuple(slot.get(part) for part in _SIZE): str(slot["Name"]) for slot in slots}
    wanted = [f"Name == {classad2.quote(name)}" for name in list(names.values())[:_MOST_WHOLE]]
    if pilot:
        wanted.append(f"FallowPilot == {classad2.quote(pilot)}")
    return pool.slots(f"{SLOTS} && ({' || '.join(wanted)})") if wanted else []


def _plain(ad: Mapping[str, Any]) -> dict[str, Any]:
    """What of an ad is written out."""
    return {name: value for name, value in ad.items() if isinstance(value, (str, int, float))}


def _then(database: Engine, centre: str | None, started: int | None) -> CapacityPoint | None:
    if centre is None or started is None:
        return None
    points = series.history(database, started - _AROUND_S, started + _AROUND_S)[1]
    own = [point for point in points if point.centre == centre]
    return min(own, key=lambda point: abs(point.at.timestamp() - started), default=None)


def _image_there(store: Store, job: Any) -> bool | None:
    digest = str(job.get("ContainerImage", "")).rpartition("/")[2].removesuffix(".sif").replace("-", ":", 1)
    try:
        return store.image_bytes(digest) is not None
    except NotAvailableError as error:
        logger.warning("whether the hub has %s is not known: %s", digest, error)
        return None
