"""What is wrong with the hub's HTCondor as it is set up now: its version, configuration, keys and tokens."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fallow_matcher.htcondor import effective, render
from fallow_matcher.htcondor.check import Finding, check
from fallow_matcher.htcondor.files import check_files
from fallow_matcher.settings import HubSettings


def look(settings: HubSettings, out: Path) -> list[Finding]:
    """Hold what is in effect for the configuration in the folder `out` against the rules.

    Raises:
        NotAvailableError: HTCondor's programs are missing or refuse the configuration.
    """
    config = out / "condor_config"
    with tempfile.TemporaryDirectory() as scratch:
        generated = Path(scratch) / "condor_config"
        generated.write_text(render.hub_config(settings, out), encoding="utf-8")
        expected = effective.read(generated)
    findings = check(effective.read(config), expected, settings, effective.version(config))
    return findings + check_files(settings)
