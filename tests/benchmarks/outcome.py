"""What a benchmark leaves: its figures as JSON with the conditions under which they were made, and a table of them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from fallow.output import show

ROOT = Path(__file__).resolve().parents[2]
LEFT = Path(os.environ.get("FALLOW_BENCH_DIR") or ROOT / "build" / "bench")
"""Where `make bench` leaves its JSON; `benchmark_docs` takes it from there into the docs."""


def conditions() -> dict[str, Any]:
    """Machine, versions, date and commit; taken at the start, so that the load is that of other work."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m", f"tests.benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "commit": said("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"),
        "changed": bool(said("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")),
        "machine": platform.machine(),
        "processor": processor(),
        "cpus": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def said(*argv: str) -> str:
    """What a command said; empty where it failed."""
    return subprocess.run(argv, text=True, capture_output=True, check=False).stdout.strip()


def processor() -> str:
    """The processor's own name, as Linux tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"


def leave(name: str, about: Mapping[str, Any], figures: Mapping[str, Any]) -> Path:
    """Write a benchmark's JSON; where it lies."""
    LEFT.mkdir(parents=True, exist_ok=True)
    file = LEFT / f"{name}.json"
    file.write_text(json.dumps({"benchmark": name, "conditions": about, "figures": figures}, indent=1) + "\n")
    return file


def left(name: str) -> dict[str, Any]:
    """What the last run of a benchmark left."""
    file = LEFT / f"{name}.json"
    if not file.exists():
        sys.exit(f"{file} is not there. Run: make bench ONLY={name}")
    return dict(json.loads(file.read_text(encoding="utf-8")))


def kept(name: str, about: dict[str, Any], *, again: bool = False) -> dict[str, Any]:
    """The figures of a benchmark's last run, to be gone on with; none where there was none.

    Args:
        name: The benchmark's.
        about: The conditions of the run that goes on; they list those of the earlier ones from now on.
        again: Whether the same command adds to what it found before, instead of finding it anew.
    """
    if not (LEFT / f"{name}.json").exists():
        return {}
    last = left(name)
    earlier = [*last["conditions"].pop("earlier", []), last["conditions"]]
    about["earlier"] = [one for one in earlier if again or one["command"] != about["command"]]
    return dict(last["figures"])


def tell(
    name: str,
    title: str,
    about: Mapping[str, Any],
    figures: Mapping[str, Any],
    table: Callable[[Any], list[dict[str, str]]],
) -> None:
    """Show a benchmark's table, and leave its JSON."""
    rows = table(figures)
    show(rows, list(rows[0]), as_json=False, title=title)
    print(leave(name, about, figures))


def as_rows(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """The table of figures that are rows already."""
    return [{name: str(value) for name, value in row.items()} for row in figures["rows"]]


def markdown(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A table."""
    yield f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}\n"
    for row in rows:
        yield f"| {' | '.join(row.values())} |\n"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, p95, least and most of some measurements, and how many there are; p95 is interpolated."""
    return {
        "runs": len(values),
        "median": median(values),
        "p95": quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0],
        "least": min(values),
        "most": max(values),
    }


def around(figures: Mapping[str, float], form: str, unit: str = "", counted: str = "") -> str:
    """What `spread` gives, in a cell of a table: "5 s (4 to 7, 3 rounds)".

    Args:
        figures: The answer of `spread`.
        form: Format of each figure, as ".0f".
        unit: What stands after the median, with its space.
        counted: What the measurements are called, where the cell says how many there were.
    """
    middle, least, most = (format(figures[name], form) for name in ("median", "least", "most"))
    many = f", {figures['runs']:.0f} {counted}" if counted else ""
    return f"{middle}{unit} ({least} to {most}{many})"
