"""A pilot that is killed leaves files on its node; the next one there removes them."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.pilots.sites import Site

from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until


def test_the_next_pilot_on_the_node_removes_what_a_killed_one_left(
    site: Callable[[str], Site], bed: Testbed
) -> None:
    birch = site("birch")
    [node] = bed.layout().nodes("birch")

    def directories() -> set[str]:
        listed = node.run(["find", "/scratch", "-mindepth", "1", "-maxdepth", "1", "-name", "fallow-*"])
        return set(listed.stdout.split())

    def at_work() -> list[tuple[str, str]]:
        """Pilots that run, and their directories; the one that `list` names may just be leaving."""
        there = directories()
        rows = birch.wait_for_pilots()
        return [(row["native_id"], path) for row in rows for path in there if f"-{row['pilot']}-" in path]

    [(native_id, left), *_] = wait_until(at_work, "a pilot and its directory", 120)
    birch.login.run(["scancel", "--signal=KILL", "--full", native_id])
    wait_until(lambda: left not in directories(), "the removal by the next pilot", 180, pause_s=0.5)
