"""Writes the tables of docs/reference/benchmarks.md from the JSON beside it.

Usage: python -m tests.benchmarks.benchmark_docs [NAME …]

With names, the JSON that the last run of these benchmarks left is taken into the docs first. A benchmark that the page shows
has a TITLE, and a `table` of its figures; what was measured and how is what its module says of itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from tests.benchmarks.outcome import ROOT, left
from tests.benchmarks.page import put_figures

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
KEPT = PAGE.with_suffix("")


def section(document: Mapping[str, Any]) -> Iterator[str]:
    """One benchmark, as Markdown."""
    module = import_module(f"tests.benchmarks.bench_{document['benchmark']}")
    summary, _, rest = str(module.__doc__).strip().partition("\n\n")
    _, _, about = rest.partition("\n\n")  # after the usage
    yield f"\n## {module.TITLE}\n\n{summary}\n\n{about}\n\n"
    yield from markdown(module.table(document["figures"]))
    yield f"\n`make bench ONLY={document['benchmark']}`, {made(document['conditions'])}.\n"


def made(conditions: Mapping[str, Any]) -> str:
    """When and where, in a line."""
    changed = " with changes" if conditions["changed"] else ""
    return (
        f"{conditions['date'][:10]}, commit {conditions['commit']}{changed}; {conditions['cpus']} cores"
        f" ({conditions['processor']}), {conditions['memory_mb'] / 1024:.0f} GB, Linux {conditions['kernel']},"
        f" Python {conditions['python']}; load at the start {conditions['load']}"
    )


def markdown(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A table."""
    yield f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}\n"
    for row in rows:
        yield f"| {' | '.join(row.values())} |\n"


def main() -> None:
    """Take what is named, and write the page anew."""
    KEPT.mkdir(exist_ok=True)
    for name in sys.argv[1:]:
        text = json.dumps(left(name), indent=1) + "\n"
        (KEPT / f"{name}.json").write_text(text, encoding="utf-8")
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(KEPT.glob("*.json"))]
    put_figures(PAGE, "".join(text for document in documents for text in section(document)))


if __name__ == "__main__":
    main()
