"""A dry run says which rules no present offer can take.

Snakemake runs a dry run with an executor of its own; of ours only the settings are made. But it logs each job with its
resources, between two overviews of the run: this listens, asks the hub at the second one, and says what it found.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from snakemake_executor_plugin_fallow.fits import Ask, Wishes

_LOGGER = "snakemake.logging"


class DryRun(logging.Filter):
    """Listens to Snakemake's log, and lets everything through.

    Args:
        defaults: What the settings say for rules that say nothing.
        ask: Asks the hub.
    """

    def __init__(self, defaults: Mapping[str, str | None], ask: Ask) -> None:
        super().__init__()
        self._wishes = Wishes(defaults)
        self._ask = ask
        self._heard = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Note a job, or say what was found; never fails."""
        try:
            event = str(getattr(record, "event", None) or "")
            if event == "job_info":
                self._note(record)
            elif event == "run_info" and self._heard:
                stop()
                self._tell()
        except Exception as error:  # noqa: BLE001 - a dry run does not fail for this
            logging.getLogger(__name__).info("the dry run was not looked at: %s", error)
        return True

    def _note(self, record: logging.LogRecord) -> None:
        said = vars(record)
        rule = _rule_of_caller()
        if said["output"] or said["shellcmd"]:  # else it only names targets
            self._heard = True
            threads = said["threads"] if rule is None else _threads(rule, said["threads"])
            if rule is None or rule.name not in rule.workflow._localrules:
                self._wishes.add(said["rule_name"], threads, dict(said["resources"].items()))

    def _tell(self) -> None:
        from fallow.errors import FallowError

        try:
            lines = self._wishes.held_against(self._ask).lines()
        except FallowError as error:
            lines = [f"Whether the present offers can take these rules could not be asked. {error}"]
        for line in lines:
            logging.getLogger(_LOGGER).warning(line)


def _rule_of_caller() -> Any:
    """The rule of the job that is being logged, or None: the record itself has its name only."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "log_info":
            return getattr(frame.f_locals.get("self"), "rule", None)
    return None


def _threads(rule: Any, shown: int) -> int:
    """What the rule asks for: a dry run shows no more than it has cores itself, which is one."""
    asked = getattr(rule.resources.get("_cores"), "value", None)
    return max(shown, asked) if isinstance(asked, int) else shown


def listen(defaults: Mapping[str, str | None]) -> None:
    """Listen from now on, unless no hub is configured."""
    from fallow.client import client_settings, connect
    from fallow.errors import SettingsError

    try:
        client_settings()
    except SettingsError:
        return
    stop()
    logging.getLogger(_LOGGER).addFilter(
        DryRun(defaults, lambda requests: connect().fit(requests, patient=False))
    )


def stop() -> None:
    """Listen no longer: an executor of ours has been made, or all is said."""
    logger = logging.getLogger(_LOGGER)
    for each in list(logger.filters):
        if isinstance(each, DryRun):
            logger.removeFilter(each)
