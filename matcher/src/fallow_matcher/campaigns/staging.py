"""Inputs and outputs of a campaign's jobs, carried by the hub between the owner's storage and HTCondor's spool.

Only objects in the owner's own storage can be named, so the hub's keys open nothing for an owner that is not the owner's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fallow.campaigns.messages import Plan
from fallow.campaigns.plan import filled
from fallow.campaigns.table import Row
from fallow.errors import FallowError, NotAvailableError
from fallow.files import private_directory
from fallow_matcher.campaigns.ending import Ending, Fault
from fallow_matcher.campaigns.logs import folder
from fallow_matcher.gateway.s3 import USER_FOLDER, Store, user_bucket
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)

Stage = Callable[[Any, Plan, Any, Mapping[str, Any]], "str | Ending | None"]
"""What `Staging.out` does."""


class StagingError(FallowError):
    """An input is not there, or a file is not for the hub to carry."""


class Staging:
    """Carries files.

    Args:
        settings: The hub's settings.
        store: The federation's store, with the hub's keys.
    """

    def __init__(self, settings: HubSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._limit_bytes = settings.limits.staged_mb * 1024 * 1024

    def inputs(self, campaign: Any, plan: Plan, row: Any) -> list[Path]:
        """Fetch the inputs of a row's next attempt to where it is submitted from.

        Raises:
            StagingError: One is not there, is not the owner's, or is too large.
            NotAvailableError: The store does not answer.
        """
        stage = _filled(plan, row)
        if not stage.inputs:
            return []
        place = private_directory(self._folder(campaign.id) / str(row.id))
        found = []
        for file in stage.inputs:
            path = place / file.path
            size = self._store.download(
                _user(campaign), self.key(campaign, file.url), path, self._limit_bytes
            )
            if size is None:
                raise StagingError(f"There is no input {file.url}.")
            if size > self._limit_bytes:
                raise StagingError(f"The input {file.url} {self._too_large(size)}")
            found.append(path)
        return found

    def forget(self, campaign: int) -> None:
        """Remove the inputs of a campaign that were fetched: the queue has them."""
        shutil.rmtree(self._folder(campaign), ignore_errors=True)

    def out(self, campaign: Any, plan: Plan, row: Any, ad: Mapping[str, Any]) -> str | Ending | None:
        """Store the outputs of a job that did well.

        Returns:
            What was stored, as JSON; how the attempt ended after all where an output cannot be stored; None where the
            store does not answer: the next look tries again.
        """
        spool = self._settings.state_dir / "spool"
        place = folder(spool, int(ad["ClusterId"]), int(ad["ProcId"]))
        stored = []
        try:
            for file in _filled(plan, row).outputs:
                size, digest = self._measured(place / file.path)
                self._store.upload(_user(campaign), self.key(campaign, file.url), place / file.path)
                stored.append({"path": file.path, "url": file.url, "bytes": size, "sha256": digest})
        except NotAvailableError as error:
            log.warning("campaign %s, row %s: %s", campaign.name, row.row_id, error)
            return None
        except (StagingError, OSError) as error:
            return Ending(Fault.STAGING, str(error)[:120], str(error))
        return json.dumps(stored)

    def key(self, campaign: Any, url: str) -> str:
        """The object that a URL names, below the owner's own folder.

        Raises:
            StagingError: It is not the owner's.
        """
        parts = urlsplit(url)
        key = unquote(parts.path.removeprefix("/"))
        mine = user_bucket(self._settings.storage.bucket, _user(campaign))
        if parts.netloc == mine and key.startswith(USER_FOLDER):
            key = key.removeprefix(USER_FOLDER)
        elif parts.netloc:
            raise StagingError(
                f"{url} is not in the owner's own storage, s3://{mine}/{USER_FOLDER}, for short s3:///."
            )
        if not key or key.endswith("/") or ".." in key.split("/"):
            raise StagingError(f"{url} names no object.")
        return key

    def _measured(self, path: Path) -> tuple[int, str]:
        """Size and SHA-256 of a plain file that a job sent.

        Raises:
            StagingError: It is no plain file, or too large.
            OSError: It is not there.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise StagingError(f"The output {path.name} is no plain file.")
            if about.st_size > self._limit_bytes:
                raise StagingError(f"The output {path.name} {self._too_large(about.st_size)}")
            return about.st_size, hashlib.file_digest(stream, "sha256").hexdigest()

    def _too_large(self, size: int) -> str:
        most = self._settings.limits.staged_mb
        return f"has {size // 1_000_000} MB, and the hub carries {most} MB at most; have the job fetch and store it itself."

    def _folder(self, campaign: int) -> Path:
        top = private_directory(self._settings.state_dir / "campaigns")
        return private_directory(private_directory(top / str(campaign)) / "inputs")


def _filled(plan: Plan, row: Any) -> Any:
    return filled(plan.stages[row.stage], Row(row.row_id, tuple(json.loads(row.cells))))


def _user(campaign: Any) -> str:
    return f"{campaign.centre}.{campaign.user}"
