"""Campaigns of 10^5 and 10^6 rows on a real hub: how long an injection takes, what the hub holds, how soon it answers."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.outcome import as_rows as table
from tests.benchmarks.outcome import conditions, tell
from tests.integration.conftest import inside

from fallow.campaigns.client import CampaignClient
from fallow.campaigns.document import read
from fallow.campaigns.plan import prepare
from fallow.client import connect
from fallow_testbed import people
from fallow_testbed.images import testbed_layers
from fallow_testbed.progress import Progress
from fallow_testbed.spec import DEFAULT
from fallow_testbed.testbed import Testbed

TITLE = "Campaigns of many rows"
SIZES = (100_000, 1_000_000)
GOAL_S, GOAL_MB, STATUS_S = 60.0, 1024, 1.0
LOOKS = 5
DOCUMENT = """
name = "bench-{size}"
image = "sha256:{image}"
max_waiting = 10
[table]
file = "rows.csv"
[job]
command = ["generate", "--seed", "{{seed}}", "--energy", "{{energy}}"]
outputs = [{{ path = "out", url = "s3:///bench/{{id}}" }}]
"""


def document(folder: Path, size: int) -> Path:
    """A document with so many rows."""
    with (folder / "rows.csv").open("w") as stream:
        stream.write("id,seed,energy\n")
        stream.writelines(f"run-{number:07},{number},{number % 50}\n" for number in range(size))
    path = folder / "campaign.toml"
    path.write_text(DOCUMENT.format(size=size, image=64 * "0"))
    return path


def injected(folder: Path, size: int) -> dict[str, float]:
    """Inject, inject again, and look; called at the desk. Seconds."""
    client = CampaignClient(connect())
    began = time.perf_counter()
    prepared = prepare(read(document(folder, size)), folder, str)
    checked = time.perf_counter()
    added, _ = client.inject(prepared)
    done = time.perf_counter()
    again, _ = client.inject(prepared)
    found = {"read": checked - began, "inject": done - checked, "again": time.perf_counter() - done}
    assert (added.added, again.added, again.known) == (size, 0, size)
    looks = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        status = client.status(f"bench-{size}")
        looks.append(time.perf_counter() - began)
    assert status.campaign.rows == size
    client.cancel(f"bench-{size}")
    return {**found, "status": median(looks)}


def held_mb(bed: Testbed) -> dict[str, int]:
    """The most memory that each process of the hub has held, MB."""
    script = 'for p in /proc/[0-9]*; do echo "$(tr "\\0" " " <$p/cmdline) $(grep VmHWM $p/status)"; done 2>/dev/null'
    names = {"hub gateway": "gateway", "hub campaigns": "conductor", "condor_schedd": "schedd"}
    found: dict[str, int] = {}
    for line in bed.host("hub").run(["sh", "-c", script]).stdout.splitlines():
        for word, name in names.items():
            if word in line and "VmHWM:" in line:
                found[name] = max(found.get(name, 0), int(line.split("VmHWM:")[1].split()[0]) >> 10)
    return found


def measure(bed: Testbed, size: int) -> dict[str, Any]:
    """One size."""
    environment = people.environment(bed.layout(), "alice")
    with tempfile.TemporaryDirectory() as folder:
        times = inside(bed.host("desk"), environment, injected, Path(folder), size)
    state = bed.host("hub").files / "var/lib/fallow"
    database = sum(path.stat().st_size for path in state.glob("fallow.sqlite*")) >> 20
    held = held_mb(bed)
    return {
        "rows": size,
        **{f"{name}_s": round(value, 2) for name, value in times.items()},
        **{f"{name}_mb": value for name, value in held.items()},
        "hub_mb": sum(held.values()),
        "database_mb": database,
    }


def main() -> int:
    """Measure and show; 1 where a goal is missed."""
    about = conditions()
    with tempfile.TemporaryDirectory() as scratch:
        bed = Testbed(Path(scratch) / "campaign")
        bed.up(DEFAULT, testbed_layers(), Progress())
        try:
            rows = [measure(bed, size) for size in SIZES]
        finally:
            bed.down()
    tell("campaign", TITLE, about, {"rows": rows}, table)
    last = rows[-1]
    good = last["inject_s"] < GOAL_S and last["hub_mb"] < GOAL_MB and last["status_s"] < STATUS_S
    print(
        f"goals: inject < {GOAL_S:g} s, hub < {GOAL_MB} MB, status < {STATUS_S:g} s: {'met' if good else 'missed'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
