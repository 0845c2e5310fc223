"""A pilot's job, as the launcher gives it to a batch system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fallow_pilots.batch.model import BatchJob


def batch_job(pilot: str = "alder-7", folder: Path | None = None, **more: Any) -> BatchJob:
    """The job of a pilot, with files in `folder`."""
    folder = folder or Path("/srv/fallow/pilots") / pilot
    values: dict[str, Any] = {
        "name": f"fallow-{pilot}",
        "node_command": Path("/opt/fallow/bin/fallow-pilot-node"),
        "spec": folder / "spec.json",
        "script": folder / "pilot.sh",
        "log": folder / "pilot.log",
        "cores": 4,
        "memory_mb": 2000,
        "gpus": 0,
        "walltime_s": 3600,
        "drain_grace_s": 30,
    }
    return BatchJob(**{**values, **more})
