"""The tables at the end: where each rule's job ran, and what each centre gave and used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fallow_testbed.demo.locals import Preemption

JOB_COLUMNS = ["rule", "job", "centre", "waited_s", "ran_s", "starts"]
CENTRE_COLUMNS = ["centre", "jobs_run", "gave_core_s", "used_core_s"]


def read_run(records: Path) -> list[dict[str, Any]]:
    """The jobs of the newest run below a workflow's `.snakemake/fallow`, in the order of their starts."""
    newest = max(records.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    rows = [json.loads(line) for line in newest.read_text().splitlines()]
    return sorted(rows, key=lambda row: (row["started"] or 0, row["job"]))


def job_rows(jobs: Sequence[dict[str, Any]], preempted: Preemption | None) -> list[dict[str, Any]]:
    """One row per job for the table of jobs."""
    rows = []
    for job in jobs:
        centre = job["centre"] or "-"
        if preempted is not None and job["job"] == preempted.job:
            centre = f"{preempted.centre} → {centre}"
        rows.append({**job, "job": job["name"], "centre": centre, "ran_s": job["ran_s"] or 0})
    return rows


def centre_rows(
    jobs: Sequence[dict[str, Any]], centres: Sequence[str], user_centre: str
) -> list[dict[str, Any]]:
    """One row per centre: jobs it ran, core-seconds it gave to another centre's user and used of the others."""
    seconds = {centre: sum(_core_s(job) for job in jobs if job["centre"] == centre) for centre in centres}
    used = sum(spent for centre, spent in seconds.items() if centre != user_centre)
    return [
        {
            "centre": centre,
            "jobs_run": sum(job["centre"] == centre for job in jobs),
            "gave_core_s": 0 if centre == user_centre else spent,
            "used_core_s": used if centre == user_centre else 0,
            "own_core_s": spent if centre == user_centre else 0,
        }
        for centre, spent in seconds.items()
    ]


def _core_s(job: dict[str, Any]) -> int:
    return int(job["ran_s"] or 0) * int(job["cores"])
