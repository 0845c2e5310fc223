"""The ledger in the formats of others' accounting: APEL summaries and AUDITOR records. Pure.

APEL: *APEL-summary-job-message* v0.3 (EGI documentation, Accounting, Record and message formats, Grid accounting): a header,
then records of `Key: value` lines, each closed by `%%`; durations in seconds; a job counts in the month of its end, in UTC.
AUDITOR: `RecordAdd` of auditor 0.10 as JSON (its documentation, `auditor::domain::RecordAdd`): `record_id`, `meta` (lists of
strings), `components` with `amount` and `scores`, `start_time`, `stop_time`; strings hold none of `/()"<>` and braces.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fallow.ledger.messages import Line

APEL_HEADER = "APEL-summary-job-message: v0.3"

_NOT_AUDITOR = re.compile(r'[/()"<>\\{}]')
_NOT_APEL = re.compile(r"[\x00-\x1f\x7f%]")


def apel(lines: Iterable[Line], *, sites: Mapping[str, str], submit_host: str) -> Iterator[str]:
    """APEL summary records: by site, month, group, number of processors and factor; the lines of the message.

    Args:
        lines: Runs; those that have not ended are left out, as APEL accounts for completed jobs only.
        sites: Centre → name of its site in the accounting; a centre that is missing keeps its own.
        submit_host: The hub's schedd.
    """
    sums: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
    for line in lines:
        if line.ended is not None and line.wall_s is not None:
            year, month = line.ended.year, line.ended.month
            key = (line.provider, year, month, line.consumer, line.work_type, line.cores, line.factor)
            sums[key].append(line)
    yield APEL_HEADER
    for (provider, year, month, consumer, work_type, cores, factor), runs in sorted(sums.items()):
        wall_s = sum(line.wall_s or 0.0 for line in runs)
        cpu_s = sum(line.cpu_s or 0.0 for line in runs)
        ends = [line.ended.timestamp() for line in runs if line.ended is not None]
        record = {
            "Site": sites.get(provider, provider),
            "Month": month,
            "Year": year,
            "VO": "fallow",
            "VOGroup": f"/fallow/{consumer}",
            "VORole": f"Role={work_type}",
            "SubmitHost": submit_host,
            "InfrastructureType": "grid",
            "ServiceLevelType": "custom",
            "ServiceLevel": factor,
            "Processors": cores,
            "NodeCount": 1,
            "EarliestEndTime": int(min(ends)),
            "LatestEndTime": int(max(ends)),
            "WallDuration": round(wall_s),
            "CpuDuration": round(cpu_s),
            "NormalisedWallDuration": round(wall_s * factor),
            "NormalisedCpuDuration": round(cpu_s * factor),
            "NumberOfJobs": len(runs),
        }
        yield from (f"{key}: {_NOT_APEL.sub('?', str(value))}" for key, value in record.items())
        yield "%%"


def auditor(lines: Iterable[Line]) -> Iterator[str]:
    """AUDITOR records, one JSON object to a line: one for each run that has ended."""
    for line in lines:
        if line.ended is None:
            continue
        score = [{"name": "benchmark", "value": line.factor}]
        components = [{"name": "Cores", "amount": line.cores, "scores": score}]
        if line.gpus:
            components.append({"name": "GPUs", "amount": line.gpus, "scores": score})
        meta = {
            "site_id": line.provider,
            "group_id": line.consumer,
            "user_id": line.user,
            "job_id": line.job,
            "pilot_id": line.pilot,
            "work_type": line.work_type,
            "resource_class": line.resource_class,
            "outcome": line.outcome,
        }
        yield json.dumps(
            {
                "record_id": _plain(f"fallow-{line.global_job_id}-{line.run}"),
                "meta": {key: [_plain(value)] for key, value in meta.items() if value},
                "components": components,
                "start_time": line.started.isoformat(),
                "stop_time": line.ended.isoformat(),
            }
        )


def _plain(text: str) -> str:
    return _NOT_AUDITOR.sub("_", text)
