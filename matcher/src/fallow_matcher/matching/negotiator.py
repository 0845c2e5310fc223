"""HTCondor's negotiator as the matcher uses it: factors are read and set, one configuration file is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fallow_matcher.htcondor import groups
from fallow_matcher.htcondor.told import ToldFile
from fallow_matcher.pool import Pool
from fallow_matcher.settings import HubSettings


class Negotiator:
    """Carries the matcher's decisions to HTCondor. What was set is kept by HTCondor over restarts.

    Args:
        settings: The hub's settings.
        pool: The hub's pool, with the right to administer it.
        config: The hub's `condor_config`.
    """

    def __init__(self, settings: HubSettings, pool: Pool, config: Path) -> None:
        self._settings = settings
        self._pool = pool
        self._groups = ToldFile(groups.file_of(settings), settings, config, "negotiator")

    def factors(self) -> dict[str, float]:
        """The factor of each submitter that HTCondor knows, by the submitter's name without the domain.

        Raises:
            NotAvailableError: The negotiator does not answer.
        """
        end = f"@{self._settings.trust_domain}"
        ads = self._pool.negotiator(lambda found: found.getPriorities())
        return {
            str(ad["Name"]).removesuffix(end): float(ad["PriorityFactor"])
            for ad in ads
            if str(ad.get("Name", "")).endswith(end)
        }

    def set_factors(self, factors: Mapping[str, float]) -> None:
        """Set submitters' factors; those that are set already stay when a later one fails.

        Raises:
            NotAvailableError: The negotiator does not answer.
        """

        def each(negotiator: Any) -> None:
            for name, factor in factors.items():
                negotiator.setFactor(f"{name}@{self._settings.trust_domain}", factor)

        if factors:
            self._pool.negotiator(each)

    def arrange(self, giving: Mapping[str, int], *, home_first: bool) -> bool:
        """Tell HTCondor which centres give next and whether home comes first; whether that was news to it.

        Raises:
            NotAvailableError: The file cannot be written, or the negotiator does not take it.
        """
        text = groups.render(self._settings.centre_names, giving, home_first=home_first)
        return self._groups.tell(text)
