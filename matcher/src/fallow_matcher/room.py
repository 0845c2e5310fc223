"""Whether there is room for new work where the hub keeps its state: a full disk would end the queue in mid-sentence."""

from __future__ import annotations

import shutil

from fallow_matcher.settings import HubSettings

MB = 1024 * 1024
REFUSAL = "The hub's disk is almost full, so it takes no new work until its operator has made room."


def has_room(settings: HubSettings) -> bool:
    """Whether as much is free as the settings want."""
    return shutil.disk_usage(settings.state_dir).free >= settings.limits.least_free_mb * MB
