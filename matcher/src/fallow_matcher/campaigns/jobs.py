"""Rows as jobs: the job that a row becomes, and the name by which its job is known again. Pure but for small files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fallow.campaigns.messages import Plan
from fallow.campaigns.plan import filled
from fallow.campaigns.table import Row
from fallow.errors import UsageError
from fallow.files import private_directory
from fallow.queue.description import description
from fallow.queue.spec import JobSpec

CONSTRAINT = 'regexp("^campaign[.][0-9]+$", FallowRun)'
"""The jobs of all campaigns; a user's job may claim to be one, so its owner is looked at too."""

_RUN = re.compile(r"campaign\.([1-9][0-9]{0,17})")
_KEY = re.compile(r"([1-9][0-9]{0,17})\.([1-9][0-9]{0,8})")


def run_of(campaign: int) -> str:
    """The run that all jobs of a campaign bear."""
    return f"campaign.{campaign}"


def key_of(row: int, attempt: int) -> str:
    """The key that a row's job bears; each attempt has one of its own."""
    return f"{row}.{attempt}"


def place_of(ad: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Campaign, row and attempt that a job says it belongs to; None where it says nothing of the kind."""
    run, key = _RUN.fullmatch(str(ad.get("FallowRun"))), _KEY.fullmatch(str(ad.get("FallowKey")))
    return (int(run[1]), int(key[1]), int(key[2])) if run and key else None


def spec_of(plan: Plan, campaign: int, row: Any, folder: Path, inputs: Sequence[Path] = ()) -> JobSpec:
    """The job of a row's next attempt.

    Args:
        plan: Its campaign.
        campaign: The campaign's number.
        row: `id`, `stage`, `row_id`, `cells`, `attempt` and `avoid` of the row.
        folder: Where `put_files` has put the small files of its stage.
        inputs: Files of its own: the ticket.

    Raises:
        UsageError: The row cannot be expressed as a job.
    """
    stage = filled(plan.stages[row.stage], Row(row.row_id, tuple(json.loads(row.cells))))
    avoid = [f'TARGET.FallowPilot =!= "{pilot}"' for pilot in row.avoid.split()]
    try:
        spec = JobSpec(
            run=run_of(campaign),
            key=key_of(row.id, row.attempt),
            name=f"{plan.name}/{stage.name}/{row.row_id}"[:255],
            image=stage.image,
            architecture=stage.architecture,
            argv=tuple(stage.command),
            input_files=(*(folder / file.name for file in stage.files), *inputs),
            directory=folder,
            environment={**stage.environment, "FALLOW_CAMPAIGN": plan.name, "FALLOW_STAGE": stage.name},
            cores=stage.cores,
            memory_mb=stage.memory_mb,
            disk_mb=stage.disk_mb,
            walltime_s=stage.walltime_s,
            gpus=stage.gpus,
            work_type=plan.work_type,
            project=plan.project,
            image_source=tuple(plan.image_source),
            network=stage.network,
            centre=plan.centre,
            priority=plan.priority,
            requirements=" && ".join(avoid) or None,
        )
    except ValidationError as error:
        raise UsageError("; ".join(item["msg"] for item in error.errors(include_input=False))) from error
    description([spec])
    return spec


def put_files(plan: Plan, campaign: int, stage: int, state_dir: Path) -> Path:
    """Write the small files of a stage where jobs are submitted from; returns the folder."""
    top = private_directory(state_dir / "campaigns")
    folder = private_directory(private_directory(top / str(campaign)) / str(stage))
    for file in plan.stages[stage].files:
        path = folder / file.name
        if not path.exists() or path.read_text(encoding="utf-8") != file.text:
            path.write_text(file.text, encoding="utf-8", newline="")
    return folder
