"""HTCondor's schedd as the matcher uses it: what it takes follows the rules in force and the room on its disk."""

from __future__ import annotations

from pathlib import Path

from fallow.rules import Rules
from fallow_matcher.htcondor import work_types
from fallow_matcher.htcondor.told import ToldFile
from fallow_matcher.settings import HubSettings


class Schedd:
    """Has the schedd go by the work types of the rules, and take nothing while its disk is almost full.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
    """

    def __init__(self, settings: HubSettings, config: Path) -> None:
        # All daemons are told: a schedd that is not named after its host is not found by its subsystem.
        self._file = ToldFile(work_types.file_of(settings), settings, config)

    def take(self, rules: Rules, *, room: bool) -> bool:
        """Tell the schedd the work types of these rules, and whether it has room for work; whether that was news to it.

        Raises:
            NotAvailableError: The file cannot be written, or HTCondor does not take the command.
        """
        return self._file.tell(work_types.render(rules, room=room))
