"""What the alerts and the dashboard of a part ask Prometheus for, held against what there is; and promtool's own checks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

FILES = ("check rules alerts.yml", "test rules alerts.test.yml")
"""What promtool is asked about a folder with alerts."""


def promtool(folder: Path, *argv: str, told: str = "") -> None:
    """Run promtool in a folder; `told` is what it reads. Fails with what it says."""
    program = shutil.which("promtool")
    assert program, "promtool is missing. Install it: apt-get install prometheus"
    done = subprocess.run(
        [program, *argv], cwd=folder, input=told, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def asked(folder: Path) -> list[str]:
    """Every expression of the alerts and the dashboard in a folder."""
    targets = [target["expr"] for panel in panels(folder) for target in panel["targets"]]
    return targets + re.findall(r"expr: (.*)", (folder / "alerts.yml").read_text())


def missing(folder: Path, told: str) -> set[str]:
    """The names that are asked for and that are not among the metrics of `told`."""
    there = set(re.findall(r"^(\w+)[{ ]", told, re.MULTILINE))
    return {name for each in asked(folder) for name in re.findall(r"fallow_\w+", each)} - there


def panels(folder: Path) -> list[dict[str, Any]]:
    """The panels of the dashboard in a folder."""
    found: list[dict[str, Any]] = json.loads((folder / "dashboard.json").read_text())["panels"]
    return found


def check_places(folder: Path) -> None:
    """Fail where a panel has no place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(folder):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in panels(folder)}) == len(panels(folder))
