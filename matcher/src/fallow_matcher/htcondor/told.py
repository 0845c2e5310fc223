"""Configuration that changes while HTCondor runs: written, and told to its daemons, when it is news."""

from __future__ import annotations

from pathlib import Path

from fallow_matcher.htcondor.configure import write
from fallow_matcher.htcondor.effective import reconfigure
from fallow_matcher.settings import HubSettings


class ToldFile:
    """One generated file of HTCondor's configuration.

    Daemons that were not told, because they were away or the matcher was killed in between, are told again: a text
    counts as told only after they took the command, and never from an earlier run of the matcher.

    Args:
        path: The file.
        settings: The hub's settings.
        config: The hub's `condor_config`.
        daemon: Which daemon reads it; all where empty.
    """

    def __init__(self, path: Path, settings: HubSettings, config: Path, *daemon: str) -> None:
        self._path = path
        self._settings = settings
        self._config = config
        self._daemon = daemon
        self._told = ""

    def tell(self, text: str) -> bool:
        """Have HTCondor go by `text`; whether that was news to it.

        Raises:
            NotAvailableError: The file cannot be written, or HTCondor does not take the command.
        """
        if text == self._told:
            return False
        write(self._path, text, 0o644, None)
        reconfigure(self._config, self._settings.account, *self._daemon)
        self._told = text
        return True
