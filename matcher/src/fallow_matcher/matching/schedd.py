"""HTCondor's schedd as the matcher uses it: what it takes follows the rules in force and the room on its disk, and it
offers all that waits.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fallow.errors import FallowError
from fallow.rules import Rules
from fallow_matcher.htcondor import operators, work_types
from fallow_matcher.htcondor.told import ToldFile
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)

OFFER_S = 60
"""Between two times that the schedd is made to list what waits: that is a process and a look at every job."""
DEADLINE_S = 60


class Schedd:
    """Has the schedd go by the work types of the rules, take nothing while its disk is almost full, and forget no job.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
    """

    def __init__(self, settings: HubSettings, config: Path) -> None:
        # All daemons are told: a schedd that is not named after its host is not found by its subsystem.
        self._file = ToldFile(work_types.file_of(settings), settings, config)
        self._settings = settings
        self._config = config
        self._offered_at = 0.0

    def take(self, rules: Rules, *, room: bool) -> bool:
        """Tell the schedd the work types of these rules, and whether it has room for work; whether that was news to it.

        Raises:
            NotAvailableError: The file cannot be written, or HTCondor does not take the command.
        """
        return self._file.tell(work_types.render(rules, room=room))

    def offer(self, job: Mapping[str, Any], now: float) -> bool:
        """Have the schedd list anew which jobs it offers to the negotiator, if it is time for that; whether it was.

        A job whose claim fails, because its pilot was cut off, is passed over until the schedd makes that list again: when
        any job changes, or after 20 minutes. In a quiet queue nothing changes, and the job waits beside free slots. Setting
        a priority has the list made, also to what it is.

        Args:
            job: A waiting job: `ClusterId`, `ProcId` and `JobPrio`, whole numbers.
            now: Unix time.
        """
        if now - self._offered_at < OFFER_S:
            return False
        self._offered_at = now
        cluster, proc, priority = (int(job[name]) for name in ("ClusterId", "ProcId", "JobPrio"))
        same = f"ClusterId == {cluster} && ProcId == {proc} && JobStatus == 1 && JobPrio =?= {priority}"
        # In a process of its own: this one is the hub's daemon to HTCondor, and may change no job.
        process = multiprocessing.get_context("spawn").Process(
            target=_set_priority, args=(self._settings, self._config, same, priority), daemon=True
        )
        process.start()
        process.join(DEADLINE_S)
        process.kill()
        process.join()
        if process.exitcode:
            log.warning("the queue does not list anew what waits; it is asked again in %d s", OFFER_S)
        return True


def _set_priority(settings: HubSettings, config: Path, jobs: str, priority: int) -> None:
    try:
        token = operators.credential(settings, config).token
        operators.on_queue(settings, token, lambda schedd: schedd.edit(jobs, "JobPrio", str(priority)))
    except FallowError as error:
        sys.exit(str(error))
