"""Writes the figures of snakemake_executor/docs/further.md from what the benchmarks `startup` and `bulk` left.

Usage: python -m tests.benchmarks.executor_docs
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import bench_bulk, bench_startup
from tests.benchmarks.page import put_figures

PAGE = Path(__file__).parents[2] / "snakemake_executor" / "docs" / "further.md"


def circumstances(about: Mapping[str, Any]) -> str:
    """When and on what something was measured."""
    load = about["load"] if isinstance(about["load"], float) else max(about["load"])
    how = ", before all else on the machine" if about["first"] else ""
    return f"{about['date'][:10]}, Python {about['python']}, {about['cpus']} cores, load {load:.0f}{how}"


def startup(found: Mapping[str, Any]) -> Iterator[str]:
    """What a rule costs beside its command."""
    yield f"\nSeconds that a rule costs beside its command (`make bench ONLY=startup`; {circumstances(found['about'])}):\n\n"
    yield "| job | median | least | most |\n|---|---|---|---|\n"
    for name, times in found["seconds"].items():
        warm = times[1:]
        yield f"| {name} | {median(warm):.2f} | {min(warm):.2f} | {max(warm):.2f} |\n"


def bulk(found: Mapping[str, Any]) -> Iterator[str]:
    """What many jobs cost."""
    yield f"\nSeconds for many jobs (`make bench ONLY=bulk`; {circumstances(found['about'])}):\n\n"
    yield "| what | seconds |\n|---|---|\n"
    for row in bench_bulk.table(found):  # type: ignore[arg-type]
        yield f"| {row['what']} | {row['seconds']} |\n"


def main() -> None:
    """Replace what is between the marks."""
    text = "".join(
        line
        for write, result in ((startup, bench_startup.RESULT), (bulk, bench_bulk.RESULT))
        for line in write(json.loads(result.read_text()))
    )
    put_figures(PAGE, text + "\n")


if __name__ == "__main__":
    main()
