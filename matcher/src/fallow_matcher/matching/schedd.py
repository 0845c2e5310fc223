"""HTCondor's schedd as the matcher uses it: which work types it takes follows the rules in force."""

from __future__ import annotations

from pathlib import Path

from fallow.rules import Rules
from fallow_matcher.htcondor import work_types
from fallow_matcher.htcondor.configure import write
from fallow_matcher.htcondor.effective import reconfigure
from fallow_matcher.settings import HubSettings


def set_work_types(settings: HubSettings, config: Path, rules: Rules) -> bool:
    """Have the schedd go by the work types of these rules; whether that was news to it.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.
        rules: The rules in force.

    Raises:
        NotAvailableError: The file cannot be written, or the schedd does not take it.
    """
    path = work_types.file_of(settings)
    text = work_types.render(rules)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write(path, text, 0o644, None)
    reconfigure(config, settings.account, "schedd")
    return True
