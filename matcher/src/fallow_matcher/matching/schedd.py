"""HTCondor's schedd as the matcher uses it: which work types it takes follows the rules in force."""

from __future__ import annotations

from pathlib import Path

from fallow.rules import Rules
from fallow_matcher.htcondor import work_types
from fallow_matcher.htcondor.configure import write
from fallow_matcher.htcondor.effective import reconfigure
from fallow_matcher.settings import HubSettings


class Schedd:
    """Has the schedd go by the work types of the rules.

    A schedd that was not told, because it was away or the matcher was killed in between, is told again: it counts as
    told only after it took the command, and never from an earlier run of the matcher.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
    """

    def __init__(self, settings: HubSettings, config: Path) -> None:
        self._settings = settings
        self._config = config
        self._told = ""

    def take(self, rules: Rules) -> bool:
        """Tell the schedd the work types of these rules; whether that was news to it.

        Raises:
            NotAvailableError: The file cannot be written, or HTCondor does not take the command.
        """
        text = work_types.render(rules)
        if text == self._told:
            return False
        write(work_types.file_of(self._settings), text, 0o644, None)
        # All daemons: a schedd that is not named after its host is not found by its subsystem.
        reconfigure(self._config, self._settings.account)
        self._told = text
        return True
