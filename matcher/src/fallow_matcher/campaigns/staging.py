"""Inputs and outputs of a campaign's jobs, as the hub sees them: it looks at objects, and never carries one.

Only objects in the owner's own storage can be named, so the hub's keys open nothing for an owner that is not the owner's.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fallow.campaigns.messages import Plan, PlanStage
from fallow.campaigns.plan import filled
from fallow.campaigns.table import Row
from fallow.errors import NotAvailableError
from fallow.files import private_directory, write_private
from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import TICKET_FILE
from fallow_matcher.campaigns.ending import Ending, Fault
from fallow_matcher.campaigns.tickets import Place, Tickets
from fallow_matcher.gateway.objects import Objects
from fallow_matcher.gateway.s3 import USER_FOLDER, user_bucket
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)

ATTEMPT = "fallow-attempt"
"""Which attempt of which row has stored an output; in its metadata."""
SHA256 = "sha256"

Stage = Callable[[Any, Plan, Any, Mapping[str, Any]], "str | Ending | None"]
"""What `Staging.out` does."""


class Staging:
    """What the conductor has to do with staging: refuse early, give tickets, look at what was stored.

    Args:
        settings: The hub's settings.
        objects: The users' objects.
    """

    def __init__(self, settings: HubSettings, objects: Objects) -> None:
        self._settings = settings
        self._objects = objects
        self._tickets = Tickets(settings.state_dir)

    def inputs(self, campaign: Any, plan: Plan, row: Any) -> list[Path]:
        """The file that the job of a row's next attempt needs for its files to be staged, if it has any.

        Raises:
            StagingError: An input is not there, is not the owner's, or they are too large: no slot is spent on that.
            NotAvailableError: The store does not answer.
        """
        stage = stage_of(plan, row)
        if not stage.inputs and not stage.gather and not stage.outputs:
            return []
        sizes = [
            self._objects.wanted(user_of(campaign), self.key(campaign, one.url), one.url).bytes
            for one in stage.inputs
        ]
        require_size(self._settings, stage, sum(sizes))
        for one in stage.outputs:
            self.key(campaign, one.url)
        path = private_directory(self._folder(campaign.id) / str(row.id)) / TICKET_FILE
        lines = [self._tickets.of(place_of(campaign, row))]
        lines += ["in"] if stage.inputs or stage.gather else []
        lines += [f"out {one.path}" for one in stage.outputs]
        write_private(path, "".join(f"{line}\n" for line in lines))
        return [path]

    def forget(self, campaign: int) -> None:
        """Remove the tickets of a campaign: the queue has them."""
        shutil.rmtree(self._folder(campaign), ignore_errors=True)

    def out(self, campaign: Any, plan: Plan, row: Any, ad: Mapping[str, Any]) -> str | Ending | None:  # noqa: ARG002
        """What a job that did well has stored, as JSON; how it ended after all where something lacks.

        None where the store does not answer: the next look tries again.
        """
        stored = []
        try:
            for one in stage_of(plan, row).outputs:
                found = self._objects.find(user_of(campaign), self.key(campaign, one.url))
                if found is None or found.metadata.get(ATTEMPT) != attempt_of(place_of(campaign, row)):
                    what = f"The job has not stored {one.path} at {one.url}."
                    return Ending(Fault.STAGING, f"{Trouble.MISSING.value}: {one.path}", what)
                size, digest = found.bytes, found.metadata.get(SHA256, "")
                stored.append({"path": one.path, "url": one.url, "bytes": size, "sha256": digest})
        except NotAvailableError as error:
            log.warning("campaign %s, row %s: %s", campaign.name, row.row_id, error)
            return None
        except StagingError as error:
            return Ending(Fault.STAGING, error.what[:120], error.what)
        return json.dumps(stored)

    def key(self, campaign: Any, url: str) -> str:
        """The object that a URL names, below the owner's own folder.

        Raises:
            StagingError: It is not the owner's.
        """
        return own_key(self._settings, user_of(campaign), url)

    def _folder(self, campaign: int) -> Path:
        top = private_directory(self._settings.state_dir / "campaigns")
        return private_directory(private_directory(top / str(campaign)) / "tickets")


def own_key(settings: HubSettings, user: str, url: str) -> str:
    """The object that a URL names, below a user's own folder.

    Raises:
        StagingError: It is not the user's.
    """
    parts = urlsplit(url)
    key = unquote(parts.path.removeprefix("/"))
    mine = user_bucket(settings.storage.bucket, user)
    if parts.netloc == mine and key.startswith(USER_FOLDER):
        key = key.removeprefix(USER_FOLDER)
    elif parts.netloc:
        raise StagingError(
            Trouble.DENIED,
            f"{url} is not in the owner's own storage, s3://{mine}/{USER_FOLDER}, for short s3:///.",
        )
    if not key or key.endswith("/") or ".." in key.split("/"):
        raise StagingError(Trouble.DENIED, f"{url} names no object.")
    return key


def require_size(settings: HubSettings, stage: PlanStage, total_bytes: int) -> None:
    """Refuse what is more than the federation stages for one job, or than the job has asked disk for.

    Raises:
        StagingError: With both numbers.
    """
    for most_mb, whose in (
        (settings.limits.staged_mb, "and the federation stages {} MB for one job at most"),
        (stage.disk_mb, "but it asks for {} MB of disk (disk_mb)"),
    ):
        if total_bytes > most_mb * 1024 * 1024:
            have = f"The job's files have {-(-total_bytes // (1024 * 1024))} MB, "
            raise StagingError(Trouble.LARGE, have + whose.format(most_mb) + ".")


def stage_of(plan: Plan, row: Any) -> PlanStage:
    """The stage of a row, filled with its values."""
    return filled(plan.stages[row.stage], Row(row.row_id, tuple(json.loads(row.cells))))


def place_of(campaign: Any, row: Any) -> Place:
    """Which attempt of which row it is now."""
    return campaign.id, row.id, row.attempt


def attempt_of(place: Place) -> str:
    """The same as the metadata of an output has it."""
    return ".".join(map(str, place))


def user_of(campaign: Any) -> str:
    """The owner as buckets are named after."""
    return f"{campaign.centre}.{campaign.user}"
