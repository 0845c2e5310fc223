"""Writes the figures of all pages that quote benchmarks, from the JSON in docs/reference/benchmarks/.

Usage: python -m tests.benchmarks.benchmark_docs [NAME …]

With names, the JSON that the last run of these benchmarks left is taken into the docs first. A benchmark that a page shows
has a TITLE and a `table` of its figures, and may have a `more` with further text; what was measured and how is what its
module says of itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.benchmarks import plots
from tests.benchmarks.outcome import ROOT, left, markdown
from tests.benchmarks.page import put_figures

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
KEPT = PAGE.with_suffix("")
FIRST = ("short_jobs", "snakemake", "reclaim", "scale", "tuning")
"""The order on the page; the others come after these."""
QUOTING = {
    ROOT / "docs" / "explanation" / "scale.md": ("scale",),
    ROOT / "docs" / "explanation" / "tuning.md": ("tuning",),
    ROOT / "docs" / "explanation" / "simulation.md": ("simulation",),
    ROOT / "docs" / "how-to" / "run-a-campaign.md": ("campaign", "production"),
    ROOT / "docs" / "how-to" / "operate-a-hub.md": ("growth",),
    ROOT / "snakemake_executor" / "docs" / "further.md": ("startup", "bulk"),
}
"""Other pages that show some of them."""
Document = Mapping[str, Any]


def section(document: Document) -> Iterator[str]:
    """One benchmark, as Markdown."""
    module = import_module(f"tests.benchmarks.bench_{document['benchmark']}")
    summary, _, rest = str(module.__doc__).strip().partition("\n\n")
    about = rest.partition("\n\n")[2] if rest.startswith("Usage:") else rest
    yield f"\n## {module.TITLE}\n\n{summary}\n\n"
    if about:
        yield f"{about}\n\n"
    yield from quoted(document)
    if document["benchmark"] in plots.DRAWN:
        yield f"\n![{module.TITLE}]({KEPT.name}/{document['benchmark']}.svg)\n"


def quoted(document: Document) -> Iterator[str]:
    """Its table, and how it was made."""
    module = import_module(f"tests.benchmarks.bench_{document['benchmark']}")
    yield from markdown(module.table(document["figures"]))
    runs = [*document["conditions"].get("earlier", []), document["conditions"]]
    yield "\n" + "; then ".join(f"`{run['command']}`, {made(run)}" for run in runs) + ".\n"


def made(conditions: Document) -> str:
    """When and where, in a line."""
    changed = " with changes" if conditions["changed"] else ""
    return (
        f"{conditions['date'][:10]}, commit {conditions['commit']}{changed}; {conditions['cpus']} cores"
        f" ({conditions['processor']}), {conditions['memory_mb'] / 1024:.0f} GB, Linux {conditions['kernel']},"
        f" Python {conditions['python']}; load at the start {conditions['load']}"
    )


def kept() -> dict[str, Document]:
    """The documents in the docs by name, in the page's order."""
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in KEPT.glob("*.json")}
    places = {name: place for place, name in enumerate(FIRST)}
    return dict(sorted(found.items(), key=lambda item: (places.get(item[0], len(FIRST)), item[0])))


def on_page(documents: Mapping[str, Document], names: Sequence[str]) -> Iterator[str]:
    """What another page shows of some benchmarks."""
    for name in names:
        module = import_module(f"tests.benchmarks.bench_{name}")
        yield f"\n{module.TITLE}:\n\n"
        yield from quoted(documents[name])
        if hasattr(module, "more"):
            yield from module.more(documents[name]["figures"])
    yield "\n"


def texts(documents: Mapping[str, Document]) -> dict[Path, str]:
    """What stands between the marks of each page whose documents are there."""
    found = {PAGE: "".join(text for document in documents.values() for text in section(document))}
    for page, names in QUOTING.items():
        if all(name in documents for name in names):
            found[page] = "".join(on_page(documents, names))
    return found


def main() -> None:
    """Take what is named, and write the pages anew."""
    KEPT.mkdir(exist_ok=True)
    for name in sys.argv[1:]:
        text = json.dumps(left(name), indent=1) + "\n"
        (KEPT / f"{name}.json").write_text(text, encoding="utf-8")
    documents = kept()
    for name in plots.DRAWN.keys() & documents.keys():
        (KEPT / f"{name}.svg").write_text(plots.draw(documents[name]), encoding="utf-8")
    for page, text in texts(documents).items():
        put_figures(page, text)


if __name__ == "__main__":
    main()
