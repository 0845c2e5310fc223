"""A dry run while the hub is away: without its word nobody may look into the storage, so what is there is assumed.

What rules make is taken for not made yet, and all else for there. The dry run then shows every job that there is.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import snakemake_storage_plugin_s3 as plugin

from snakemake_executor_plugin_fallow.job.fallow_s3 import Careful

_workflows: list[Any] = []
"""Of this process; modules have none of their own."""


def is_dry_run() -> bool:
    """Whether Snakemake's command line, which calls this, is asked for a dry run."""
    for frame in _callers():
        if frame.f_code.co_name == "args_to_api":
            return bool(getattr(frame.f_locals.get("args"), "dryrun", False))
    return False


def assume(why: str) -> None:
    """Look at nothing in the storage from now on.

    Args:
        why: Why not, for people.
    """
    from snakemake.workflow import Workflow

    plugin.StorageObject = Unseen
    begin = Workflow.__post_init__

    def noted(workflow: Any, *settings: Any) -> None:
        _workflows.append(workflow)
        begin(workflow, *settings)

    Workflow.__post_init__ = noted
    logging.getLogger("snakemake.logging").warning(
        "The storage cannot be looked at; shown are all jobs, as if nothing had been made yet. %s", why
    )


class Unseen(Careful):
    """An object of a storage that nobody looks at."""

    async def inventory(self, cache: Any) -> None:
        """Nothing is known."""

    def exists(self) -> bool:
        """Whether no rule makes it."""
        path = str(self.local_path())
        return not any(rule.is_producer(path) for workflow in _workflows for rule in workflow.rules)

    def is_dir(self) -> bool:
        """It is taken for a file."""
        return False

    def mtime(self) -> float:
        """Long ago: it makes nothing out of date."""
        return 0.0

    def size(self) -> int:
        """Bytes; nobody knows."""
        return 0

    def bring(self) -> None:
        """It cannot be brought."""

    def list_candidate_matches(self) -> list[str]:
        """Nothing is found by a pattern."""
        return []


def _callers() -> Any:
    frame: Any = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
