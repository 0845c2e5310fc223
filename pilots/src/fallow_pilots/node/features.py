"""Machine and job features: what a site says to a job in files (HSF-TN-2016-02, https://hepsoftwarefoundation.org/notes)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

MOST_BYTES = 64


class Features:
    """The directories that `$MACHINEFEATURES` and `$JOBFEATURES` name, read anew at each question.

    The note also allows URLs; they are not read: nothing outside of the centre may tell a pilot when to leave.

    Args:
        environment: The batch job's environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.refused = ""
        self._machine = self._directory(environment, "MACHINEFEATURES")
        self._job = self._directory(environment, "JOBFEATURES")

    def _directory(self, environment: Mapping[str, str], variable: str) -> Path | None:
        value = environment.get(variable, "")
        if value.startswith("/"):
            return Path(value)
        if value:
            self.refused = f"${variable} is no directory and is not read."
        return None

    @property
    def present(self) -> bool:
        """Whether the site says anything."""
        return self._machine is not None or self._job is not None

    def ends(self) -> dict[str, float]:
        """When the job must have ended: who says it → unix time."""
        start, limit = _number(self._job, "jobstart_secs"), _number(self._job, "wall_limit_secs")
        found = {
            "the machine's shutdown time": _number(self._machine, "shutdowntime"),
            "the job's shutdown time": _number(self._job, "shutdowntime_job"),
            "the job's wall limit": start + limit if start and limit else None,
        }
        return {name: moment for name, moment in found.items() if moment}

    def cores(self) -> int | None:
        """CPUs that are allocated to the job."""
        number = _number(self._job, "allocated_cpu")
        return int(number) if number and number >= 1 else None

    def memory_mb(self) -> int | None:
        """Memory that the job may use."""
        number = _number(self._job, "max_rss_bytes")
        return int(number) >> 20 if number else None

    def disk_mb(self) -> int | None:
        """Scratch space that the job may use."""
        number = _number(self._job, "scratch_limit_bytes")
        return int(number) >> 20 if number else None


def _number(directory: Path | None, name: str) -> float | None:
    """The positive number in a file; None where there is none, or nonsense."""
    if directory is None:
        return None
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            value = float(stream.read(MOST_BYTES).decode("ascii").strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s cannot be used: %s", directory / name, type(error).__name__)
        return None
    return value if 0 < value < 1e15 else None
