"""One cycle of the conductor: look at the queue, record, act, hand over the next rows.

Everything is recorded before it is acted on. A row is marked before its job is submitted, and its job leaves the queue only
when its result is in the database. So a conductor that is killed at any moment finds, by the job's key, what it had done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

from sqlalchemy import Engine

from fallow.campaigns.messages import CampaignState, Plan, RowState
from fallow.errors import NotAvailableError, UsageError
from fallow.queue.history import remembered
from fallow.queue.ids import place_of
from fallow.queue.spec import JobSpec
from fallow.storage.failures import StagingError
from fallow_matcher.campaigns import state
from fallow_matcher.campaigns.ending import Ending, Fault
from fallow_matcher.campaigns.following import WAITS, after
from fallow_matcher.campaigns.jobs import CONSTRAINT, put_files, spec_of
from fallow_matcher.campaigns.logs import Written, folder, written
from fallow_matcher.campaigns.look import ATTRIBUTES, Key, Look, by_key, leave, look
from fallow_matcher.campaigns.staging import Staging
from fallow_matcher.campaigns.submitter import Submitters
from fallow_matcher.database import alone, open_database, reading, writing
from fallow_matcher.gateway.objects import Objects
from fallow_matcher.gateway.s3 import Store
from fallow_matcher.htcondor import revocation
from fallow_matcher.pool import Pool
from fallow_matcher.room import REFUSAL, has_room
from fallow_matcher.settings import HubSettings, queue_name

log = logging.getLogger(__name__)

_LOCK = 0x43_61_6D_70_61_69_67_6E  # "Campaign": the conductors of two hubs take turns
BATCH = 200
"""Rows of one campaign that are submitted in one go: no cycle takes for ever."""


class Queue(Protocol):
    """The queue as the hub's own daemons see it (`fallow_matcher.pool.Pool`)."""

    def jobs(self, constraint: str, attributes: Sequence[str] = ()) -> list[Any]:
        """Ads of jobs in the queue."""

    def history(self, constraint: str, attributes: Sequence[str] = (), match: int = -1) -> list[Any]:
        """Ads of jobs that have left it."""


class Submits(Protocol):
    """Who acts in the name of owners (`fallow_matcher.campaigns.submitter.Submitters`)."""

    def submit(
        self, centre: str, user: str, work_types: tuple[str, ...], specs: Sequence[JobSpec]
    ) -> list[dict[str, Any]]:
        """Submit jobs of one owner."""

    def act(
        self,
        centre: str,
        user: str,
        work_types: tuple[str, ...],
        *,
        take: Sequence[str],
        remove: Sequence[str],
        first: tuple[Sequence[str], int],
    ) -> None:
        """Take, remove and prioritise jobs of one owner."""


def on_hub(settings: HubSettings) -> Conductor:
    """The conductor of a hub."""
    return Conductor(
        settings,
        open_database(settings.database_url),
        Pool(settings),
        Submitters(settings),
        Objects(settings, Store(settings.storage)),
    )


class Conductor:
    """Turns rows into jobs and jobs into results. All that it knows is in the database and in the queue.

    Args:
        settings: The hub's settings.
        database: The hub's database.
        queue: The queue, with the right to read.
        submitters: Who acts in the name of owners.
        objects: The users' objects, where inputs come from and outputs go to.
        clock: Unix time.
    """

    def __init__(
        self,
        settings: HubSettings,
        database: Engine,
        queue: Queue,
        submitters: Submits,
        objects: Objects,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._database = database
        self._queue = queue
        self._submitters = submitters
        self._staging = Staging(settings, objects)
        self._clock = clock

    def cycle(self) -> int:
        """Look and act once; how many rows were handed to the queue.

        Raises:
            NotAvailableError: The queue does not answer: nothing was changed.
        """
        queue = by_key(self._queue.jobs(CONSTRAINT, ATTRIBUTES))
        with reading(self._database) as connection:
            campaigns = state.stirring(connection, {campaign for campaign, _, _ in queue})
        plans = {campaign.id: Plan.model_validate_json(campaign.plan) for campaign in campaigns}
        order = sorted(campaigns, key=lambda campaign: (-plans[campaign.id].priority, campaign.id))
        looks = {campaign.id: self._record(campaign, plans[campaign.id], queue) for campaign in order}
        for campaign in order:
            found = looks[campaign.id]
            first = (found.reprioritise, plans[campaign.id].priority)
            self._submitters.act(
                campaign.centre,
                campaign.user,
                tuple(campaign.work_types.split()),
                take=found.take,
                remove=found.remove,
                first=first,
            )
        if not has_room(self._settings):
            log.warning("no rows are handed to the queue: %s", REFUSAL)
            return 0
        return sum(
            self._feed(campaign, plans[campaign.id], looks[campaign.id])
            for campaign in order
            if campaign.state == CampaignState.RUNNING
        )

    def _record(self, campaign: Any, plan: Plan, queue: Mapping[Key, list[Mapping[str, Any]]]) -> Look:
        now = self._clock()
        with reading(self._database) as connection:
            rows = [row for row in state.active(connection, campaign.id) if self._is_ours(row.job)]
        found = look(campaign, plan, rows, queue, self._past, self._written, self._staging.out, now)
        mine = {(campaign.id, row.id, row.attempt) for row in rows}
        owner = f"{campaign.centre}.{campaign.user}"
        for key, ads in queue.items():
            if key[0] == campaign.id and key not in mine:
                leave(found, [ad for ad in ads if ad.get("Owner") == owner])
        with writing(self._database) as connection:
            alone(connection, _LOCK)
            state.save(connection, found.changes)
            state.keep(connection, found.logs)
            state.spend(connection, campaign.id, found.again)
            state.unlock(connection, campaign.id, plan, found.done)
            words = state.settle(connection, campaign, plan, now)
        if words:
            log.info("campaign %s of %s: %s", campaign.name, owner, words)
        return found

    def _feed(self, campaign: Any, plan: Plan, found: Look) -> int:
        wanted = min(BATCH, plan.max_waiting - found.idle, self._settings.max_jobs_per_user - found.busy)
        if wanted <= 0:
            return 0
        reason = self._stopped(campaign)
        with writing(self._database) as connection:
            alone(connection, _LOCK)
            earlier = state.waits_for(connection, campaign, plan)
            if earlier:
                reason = f"It waits for {', '.join(earlier)}."
            state.say(connection, campaign, reason)
            if reason:
                return 0
            rows = state.waiting(connection, campaign.id, len(plan.stages), wanted)
            marks = {
                row.id: {
                    "state": RowState.SUBMITTING.value,
                    "attempt": row.attempt + 1,
                    "revision": campaign.revision,
                    **({"job": self._settings.schedd_name} if self._settings.pair else {}),
                }
                for row in rows
            }
            state.save(connection, marks)
        return (
            self._submit(
                campaign, plan, [SimpleNamespace(**{**row._asdict(), **marks[row.id]}) for row in rows]
            )
            if rows
            else 0
        )

    def _submit(self, campaign: Any, plan: Plan, rows: Sequence[Any]) -> int:
        now = self._clock()
        changes: dict[int, dict[str, Any]] = {}
        specs: list[JobSpec] = []
        ready: list[Any] = []
        places = {row.stage: None for row in rows}
        folders = {stage: put_files(plan, campaign.id, stage, self._settings.state_dir) for stage in places}
        for row in rows:
            try:
                inputs = self._staging.inputs(campaign, plan, row)
                specs.append(spec_of(plan, campaign.id, row, folders[row.stage], inputs))
                ready.append(row)
            except StagingError as error:
                why = f"{error.trouble.value}: {error.what}"
                changes[row.id] = _failed(plan, row, Fault.STAGING, why, now)
            except UsageError as error:
                changes[row.id] = _failed(plan, row, Fault.ROW, error.what, now)
            except NotAvailableError as error:
                log.warning("campaign %s: %s", campaign.name, error)
                changes[row.id] = dict(WAITS)
        types = tuple(campaign.work_types.split())
        answers = self._submitters.submit(campaign.centre, campaign.user, types, specs) if specs else []
        for row, answer in zip(ready, answers, strict=True):
            if "job" in answer:
                changes[row.id] = {"state": RowState.QUEUED.value, "job": answer["job"], "recalled": 0}
            elif "refused" in answer:
                changes[row.id] = _failed(plan, row, Fault.REFUSED, answer["refused"], now)
            # Of any other it is not known whether it was submitted: the next look tells.
        self._staging.forget(campaign.id)
        with writing(self._database) as connection:
            state.save(connection, changes)
        return len(ready)

    def _is_ours(self, job: str) -> bool:
        """Whether a row's job is, or is about to be, in this hub's queue; the other hub's conductor follows the rest.

        Args:
            job: The row's job; the queue's name until it has one.
        """
        if self._settings.pair is None:
            return True
        if not job:  # marked before there were two
            return not self._settings.is_second
        if job in map(queue_name, self._settings.hosts):
            return job == self._settings.schedd_name
        return bool(place_of(job)) == self._settings.is_second

    def _stopped(self, campaign: Any) -> str:
        """Why nothing more may be started in the name of the owner; empty where nothing is against it."""
        revoked = revocation.read(revocation.file_of(self._settings))
        if campaign.centre in revoked.centres:
            return f"The centre {campaign.centre} is revoked."
        if campaign.jti in revoked.jtis:
            return "The token with which it was injected is revoked; inject it again with another."
        return ""

    def _written(self, ad: Mapping[str, Any]) -> Written:
        spool = self._settings.state_dir / "spool"
        return written(folder(spool, int(ad["ClusterId"]), int(ad["ProcId"])))

    def _past(self, jobs: list[str]) -> dict[str, Mapping[str, Any]]:
        return remembered(jobs, lambda some, most: self._queue.history(some, ATTRIBUTES, match=most))


def _failed(plan: Plan, row: Any, fault: Fault, why: str, now: float) -> dict[str, Any]:
    end = Ending(fault, why[:120], why)
    change = after(plan, row, end, centre="", pilot="", ended=now, wall_s=None)
    return {**change, "state": RowState.FAILED.value, "job": ""}
