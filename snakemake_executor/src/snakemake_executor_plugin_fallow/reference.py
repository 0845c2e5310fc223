# ruff: noqa: E501 - a row of a table is one line
"""The reference page: `python -m snakemake_executor_plugin_fallow.reference > docs/reference/snakemake.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from snakemake_executor_plugin_fallow import ExecutorSettings
from snakemake_executor_plugin_fallow.resources import DEFAULT_DISK_MB, DEFAULT_MEMORY_MB, DEFAULT_WALLTIME_S
from snakemake_executor_plugin_fallow.summary import JobSummary
from snakemake_executor_plugin_fallow.verdict import AVOIDED_S

HEAD = """# The Snakemake executor

For users. Written by `python -m snakemake_executor_plugin_fallow.reference`; change the code, not this page.
The tutorial is [Your workflow in the federation](../tutorial/snakemake.md).

## Settings

Each is an option of `snakemake` and a line of a profile, there without the two dashes.

| option | default | environment variable | meaning |
|---|---|---|---|
"""

RESOURCES = (
    ("threads", "1", "cores"),
    ("mem_mb", str(DEFAULT_MEMORY_MB), "memory; rounded up, so that jobs that ask for nearly the same are matched together"),
    ("disk_mb", str(DEFAULT_DISK_MB), "scratch space for sources, inputs, outputs and what the rule writes besides; rounded up"),
    ("runtime", str(DEFAULT_WALLTIME_S // 60), "minutes after which the job is stopped; rounded up to multiples of 5"),
    ("gpu", "0", "GPUs"),
    ("gpu_model", "any", "model of the GPUs, as `fallow capacity` names it, or a part of that: `A100`; case is not looked at"),
    ("fallow_work_type", "the hub decides", "a work type of the agreed rules, e.g. `analysis`"),
    ("fallow_project", "none", "a project of which the hub knows you as a member"),
    ("fallow_centre", "any", "run at this centre only"),
    ("fallow_requirements", "none", "ClassAd expression that the slot must fulfil"),
    ("fallow_image_source", "none", "repositories `oras://…` that hold the job's images, separated by blanks: centres may fetch them there"),
    ("fallow_network", "true", "`false`: the job needs no network but for its own input and output"),
)  # fmt: skip

ENDS = f"""
## How a job ends

| what happened | what is done |
|---|---|
| the rule ended well | its outputs are in the storage, whole; Snakemake goes on |
| the rule failed | told once, with the ends of its `stdout`, `stderr` and log; spends one of the rule's `retries` |
| *out of memory*, *out of disk*, *out of time* | the same; the next attempt asks for a new slot with what `attempt` makes of its resources |
| the pilot is gone, was withdrawn or preempted | the queue starts the job again elsewhere; it stays the same job |
| the container did not start, sources or files could not be staged, the job was removed or put on hold | submitted again, not to the same pilot for {AVOIDED_S} s, after a pause from the second time on; at most `--fallow-resubmissions` times, then told with the last reason |
| its credentials ended while it waited | submitted again; that counts only where it waited for less than ten minutes |
| the hub is away, or you are logged out | what waits to be submitted is tried again for 15 minutes; jobs that run are not touched |
| the hub has as many of your jobs as it takes | the others wait where Snakemake runs, and go as those end, however long that takes |

## What ends Snakemake

| what | does |
|---|---|
| Ctrl-C, once | no new jobs; every job of the run is removed from the queue; the summary is shown |
| SIGTERM | Snakemake's own: no new jobs; those that were submitted are waited for, also while they wait in the queue; Ctrl-C then removes them, and whatever kills Snakemake meanwhile leaves them there, as below |
| SIGKILL, a crash, an empty battery | nothing is removed: jobs run on; the same command in the same directory takes the run up again |
| the laptop is closed | jobs run on; Snakemake goes on when it wakes, within the life of the jobs' credentials (one hour unless the hub says otherwise) |

## Files in `.snakemake/fallow`

| file | holds |
|---|---|
| `RUN.jsonl` | one line of JSON for each submission that has ended, written when it ends |
| `RUN.json` | the summary, written at the end: `rules` (each rule at each centre) and `jobs` (the lines, with CPU time and memory) |
| `RUN/KEY/` | `stdout`, `stderr` and logs of a job that failed; the `key` is in its line |
| `open/RUN.json` | the run is under way, or its Snakemake was killed |

A job's line, and its entry in `jobs`:

| name | meaning |
|---|---|
"""

MEANINGS = {
    "key": "what the submission is called in the queue's run",
    "job": "its id in the queue",
    "outcome": "`done`, `failed`, `lost` or `removed`",
    "cores": "cores that it had for itself",
    "memory_mb": "memory that it asked for",
    "walltime_s": "seconds that it asked for",
    "used_cpu_s": "CPU time of all its processes; only in `RUN.json`",
    "used_mb": "the most memory that its processes held together; only in `RUN.json`",
    "rule": "its rule, or the name of its group",
    "name": "rule and wildcards, as in `fallow jobs`",
    "reason": "why it failed or was lost",
    "centre": "where it ran last",
    "pilot": "the pilot that ran it last",
    "starts": "how often it was started",
    "submitted": "unix time",
    "started": "unix time of its last start",
    "finished": "unix time",
    "waited_s": "seconds from submission to the last start",
    "ran_s": "seconds from the last start to the end",
}
"""Of the fields of a line."""

REPORT = """
## The summary

At the end a table shows for each rule and centre: jobs done, failed and lost; median and longest wait and run; the share of its cores
that the rule used (`CPU`), the most of its memory that a job used (`memory`); and what to ask for next time: `mem_mb`, a fifth above
the most that a job used, and `runtime`, half above the longest run. The figures are measured by the jobs themselves and hold
Snakemake's own start, about a second of CPU time.

`snakemake --reporter fallow --report-fallow-path report.html` makes Snakemake's HTML report with that table on its first page;
`--report-fallow-run RUN` names an earlier run.
"""


def page() -> str:
    """The whole page, Markdown."""
    settings = "".join(_setting(field) for field in fields(ExecutorSettings))
    resources = "".join(f"| `{name}` | {default} | {what} |\n" for name, default, what in RESOURCES)
    return (
        f"{HEAD}{settings}\n## Resources of a rule\n\n| resource | default | meaning |\n|---|---|---|\n"
        f"{resources}{ENDS}{''.join(_line())}{REPORT}"
    )


def _setting(field: Field[Any]) -> str:
    name = field.name.replace("_", "-")
    default = "none" if field.default in (None, MISSING) else f"`{field.default}`"
    variable = f"`SNAKEMAKE_FALLOW_{field.name.upper()}`" if field.metadata.get("env_var") else ""
    return f"| `--fallow-{name}` | {default} | {variable} | {field.metadata['help'].replace('|', chr(92) + '|')} |\n"


def _line() -> Iterator[str]:
    for field in fields(JobSummary):
        yield f"| `{field.name}` | {MEANINGS[field.name]} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
