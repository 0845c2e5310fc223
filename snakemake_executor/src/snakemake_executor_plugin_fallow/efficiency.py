"""How a run's rules fared at each centre, what of their requests they used, and what to ask for next time. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from snakemake_executor_plugin_fallow.summary import JobSummary

MEMORY_MARGIN, MEMORY_STEP_MB = 1.2, 128
TIME_MARGIN, LEAST_MIN = 1.5, 5
MORE_AFTER_FAILURE = 1.5
"""What ran out of memory or time is told to ask for so much more than it did."""


@dataclass(frozen=True)
class Fared:
    """The jobs of one rule at one centre; shares are of what was asked for, None where nobody knows."""

    rule: str
    centre: str
    done: int
    failed: int
    lost: int
    """Submissions that the infrastructure lost; each was submitted again, or the job failed of it."""
    waited_s: float | None
    """Median."""
    waited_most_s: float | None
    ran_s: float | None
    """Median."""
    ran_most_s: float | None
    cpu_share: float | None
    """CPU time used of cores times run time."""
    memory_share: float | None
    """The most memory that a job held, of what it asked for."""
    propose_mem_mb: int | None
    """For the rule at any centre: what its greediest job used, with a margin."""
    propose_runtime_min: int | None
    """The same of its longest job, in minutes."""


def fared(jobs: Sequence[JobSummary]) -> list[Fared]:
    """Each rule at each centre, in the order in which they first ended."""
    places = list(dict.fromkeys((job.rule, job.centre or "-") for job in jobs))
    rows = []
    for rule, centre in places:
        of_rule = [job for job in jobs if job.rule == rule]
        here = [job for job in of_rule if (job.centre or "-") == centre]
        done = [job for job in here if job.outcome == "done"]
        waited = _known(here, lambda job: job.waited_s)
        ran = _known(done, lambda job: job.ran_s)
        rows.append(
            Fared(
                rule,
                centre,
                done=len(done),
                failed=sum(job.outcome == "failed" for job in here),
                lost=sum(job.outcome == "lost" for job in here),
                waited_s=median(waited) if waited else None,
                waited_most_s=max(waited, default=None),
                ran_s=median(ran) if ran else None,
                ran_most_s=max(ran, default=None),
                cpu_share=_cpu_share(done),
                memory_share=max(
                    (job.used_mb / job.memory_mb for job in done if job.used_mb and job.memory_mb),
                    default=None,
                ),
                propose_mem_mb=_memory(of_rule),
                propose_runtime_min=_runtime(of_rule),
            )
        )
    return rows


def document(run: str, jobs: Sequence[JobSummary]) -> dict[str, Any]:
    """The summary as it is written for programs."""
    return {"run": run, "rules": [asdict(row) for row in fared(jobs)], "jobs": [asdict(job) for job in jobs]}


HEAD = (
    "rule", "centre", "done", "failed", "lost", "waited s", "ran s", "CPU", "memory", "mem_mb →", "runtime →",
)  # fmt: skip


def cells(row: Fared) -> tuple[str, ...]:
    """One row of the table for people."""
    return (
        row.rule,
        row.centre,
        str(row.done),
        str(row.failed),
        str(row.lost),
        _span(row.waited_s, row.waited_most_s),
        _span(row.ran_s, row.ran_most_s),
        _percent(row.cpu_share),
        _percent(row.memory_share),
        _shown(row.propose_mem_mb),
        _shown(row.propose_runtime_min),
    )


def table(jobs: Sequence[JobSummary]) -> str:
    """The summary as a table for people."""
    rows = [HEAD, *(cells(row) for row in fared(jobs))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _known(jobs: Iterable[JobSummary], value: Callable[[JobSummary], float | None]) -> list[float]:
    return [found for job in jobs if (found := value(job)) is not None]


def _cpu_share(jobs: Iterable[JobSummary]) -> float | None:
    told = [job for job in jobs if job.used_cpu_s is not None and job.ran_s]
    had_s = sum(job.cores * (job.ran_s or 0) for job in told)
    return sum(job.used_cpu_s or 0 for job in told) / had_s if had_s else None


def _memory(jobs: Sequence[JobSummary]) -> int | None:
    wanted = [job.used_mb * MEMORY_MARGIN for job in jobs if job.outcome == "done" and job.used_mb]
    wanted += [
        job.memory_mb * MORE_AFTER_FAILURE for job in jobs if "out of memory" in job.reason and job.memory_mb
    ]
    return math.ceil(max(wanted) / MEMORY_STEP_MB) * MEMORY_STEP_MB if wanted else None


def _runtime(jobs: Sequence[JobSummary]) -> int | None:
    wanted_s = [job.ran_s * TIME_MARGIN for job in jobs if job.outcome == "done" and job.ran_s is not None]
    wanted_s += [
        job.walltime_s * MORE_AFTER_FAILURE for job in jobs if "out of time" in job.reason and job.walltime_s
    ]
    return max(LEAST_MIN, math.ceil(max(wanted_s) / 60)) if wanted_s else None


def _span(middle: float | None, most: float | None) -> str:
    return "-" if middle is None else f"{middle:.0f} (≤ {most:.0f})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)
