"""Writes the figures of snakemake_executor/docs/further.md from what the benchmarks `startup` and `bulk` left.

Usage: python -m tests.benchmarks.executor_docs
"""

from __future__ import annotations

from tests.benchmarks import bench_bulk, bench_startup
from tests.benchmarks.benchmark_docs import made, markdown
from tests.benchmarks.outcome import ROOT, left
from tests.benchmarks.page import put_figures

PAGE = ROOT / "snakemake_executor" / "docs" / "further.md"


def main() -> None:
    """Replace what is between the marks."""
    text = ""
    for name, module in (("startup", bench_startup), ("bulk", bench_bulk)):
        found = left(name)
        first = ", before all else on the machine" if found["figures"]["first"] else ""
        text += f"\n{module.TITLE} (`make bench ONLY={name}`, {made(found['conditions'])}{first}):\n\n"
        text += "".join(markdown(module.table(found["figures"])))
    put_figures(PAGE, text + "\n")


if __name__ == "__main__":
    main()
