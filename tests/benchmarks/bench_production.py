"""A production of real jobs through which a pilot, a centre and the hub go away: every row once, and how long it takes.

Usage: python -m tests.benchmarks.bench_production [ROWS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import as_rows as table
from tests.benchmarks.outcome import conditions, tell
from tests.integration.campaigns.test_campaigns import produced, written
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site

from fallow_testbed import hub, people
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed

TITLE = "A production through failures"
ROWS = 2000


def measure(bed: Testbed, rows: int, scratch: Path) -> dict[str, Any]:
    """Run the production."""
    layout, host = bed.layout(), bed.host("hub")

    def at(person: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return inside(bed.host("desk"), people.environment(layout, person), function, *arguments)

    packed = ensure_sif("analysis")
    image = f"sha256:{packed.sha256}"
    at("alice", published, packed.sif, image)
    folder = scratch / "production"
    folder.mkdir()
    began = time.monotonic()
    found = produced(
        rows,
        at,
        lambda lines: written(folder, image, lines),
        lambda name: Site(name, layout),
        host,
        lambda *argv: host.run(list(argv), user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT),
    )
    wall_s = time.monotonic() - began
    return {
        "rows": rows,
        "done": found.status.campaign.done,
        "outputs": len(found.outputs),
        "right": sum(text == f"{row}\n" for row, text in found.outputs.items()),
        "ended_twice": sum(count > 1 for count in Counter(found.finished).values()),
        "wall_s": round(wall_s),
        "jobs_per_s": round(rows / wall_s, 2),
    }


def main() -> int:
    """Measure and show; 1 where a row is missing or was done twice."""
    about = conditions()
    rows = int(sys.argv[1]) if sys.argv[1:] else ROWS
    with tempfile.TemporaryDirectory() as scratch:
        bed = Testbed(Path(scratch) / "bed")
        bed.up(DEFAULT, testbed_layers(), Progress())
        try:
            found = measure(bed, rows, Path(scratch))
        finally:
            bed.down()
    tell("production", TITLE, about, {"rows": [found]}, table)
    good = (found["done"], found["outputs"], found["right"], found["ended_twice"]) == (rows, rows, rows, 0)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
