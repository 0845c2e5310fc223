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
    birch.wait_for_pilots()
    [node] = bed.layout().nodes("birch")

    def directories() -> set[str]:
        listed = node.run(["find", "/scratch", "-mindepth", "1", "-maxdepth", "1", "-name", "fallow-*"])
        return set(listed.stdout.split())

    victim = birch.pilots(state="running")[0]
    mark = f"-{victim['pilot']}-"
    wait_until(lambda: any(mark in path for path in directories()), "the pilot's directory", 60)
    [left] = [path for path in directories() if mark in path]
    birch.login.run(["scancel", "--signal=KILL", "--full", victim["native_id"]])
    wait_until(lambda: left not in directories(), "the removal by the next pilot", 180, pause_s=0.5)
