"""Broken nodes take no work, and their pilots' ends do not make the launcher start more of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import Batch

from fallow.queue.records import JobRecord, JobState
from fallow_testbed import files
from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

BROKEN = 500
LOOKED = timedelta(seconds=12)
"""Launchers of the testbed look every two seconds."""
PROGRAM = "/opt/fallow/bin/fallow-pilot-node"
SKEWED = """
import time
right = time.time
time.time = lambda: right() + 10
"""
"""The kernel has one clock for all namespaces, so the node's is set off where the pilot reads it."""


@contextmanager
def full_disk(node: Host) -> Iterator[None]:
    """The scratch disk is full."""
    node.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=1777", "tmpfs", "/scratch"])
    try:
        node.run(["sh", "-c", "cat /dev/zero >/scratch/full"], check=False)
        yield
    finally:
        node.run(["umount", "--lazy", "/scratch"])


@contextmanager
def no_user_namespaces(node: Host) -> Iterator[None]:
    """Jobs run in a change of root, from which the kernel gives nobody a user namespace."""
    stop = ["sh", "-c", 'pid=$(pidof slurmd) && kill $pid && while [ -e "/proc/$pid" ]; do sleep 0.05; done']
    node.run(stop)
    node.run(["mkdir", "-p", "/jail"])
    node.run(["mount", "--rbind", "/", "/jail"])
    try:
        node.run(["chroot", "/jail", "slurmd"])
        yield
    finally:
        node.run(stop)
        node.run(["umount", "--lazy", "/jail"])
        node.run(["slurmd"])


@contextmanager
def skewed_clock(node: Host) -> Iterator[None]:
    """The clock is 10 s ahead."""
    files.write(node, "/opt/skew/sitecustomize.py", SKEWED)
    node.run(["mv", PROGRAM, f"{PROGRAM}.right"])
    files.write(node, PROGRAM, f'#!/bin/sh\nPYTHONPATH=/opt/skew exec {PROGRAM}.right "$@"\n', mode=0o755)
    try:
        yield
    finally:
        node.run(["mv", f"{PROGRAM}.right", PROGRAM])


@contextmanager
def drained(site: Site, nodes: Sequence[Host]) -> Iterator[None]:
    """The admin keeps the centre's other nodes out, so that pilots meet the broken one."""

    def update(state: str) -> None:
        for node in nodes:
            values = [f"NodeName={node.name}", f"State={state}", "Reason=test"]
            site.login.run(["scontrol", "update", *values])

    update("DRAIN")
    try:
        yield
    finally:
        update("RESUME")


@contextmanager
def failing_payloads(node: Host) -> Iterator[None]:
    """Nothing is wrong that a check would find; see the jobs."""
    yield


@dataclass
class Seen:
    """What happened at one centre with a broken node.

    Args:
        pilots: Pilots that were started, the newest first.
        node: The broken node.
        started: How many had been started when the first one had ended.
        job: A job for this centre, at the end.
        limit: The clause that limits the launcher, and its reason.
    """

    pilots: list[dict[str, Any]]
    node: str
    started: int
    job: JobRecord
    limit: tuple[str, str]


def observe(
    site: Site,
    breaks: Callable[[Host], AbstractContextManager[None]],
    submit: Callable[..., Batch],
    spoil: int = 0,
) -> Seen:
    """Break the centre's first node and let the launcher find out; `spoil` jobs fail before the job that counts."""
    node, *others = site.layout.nodes(site.name)
    site.fallow("withdraw", "--now")
    before = {row["pilot"] for row in site.pilots()}

    def new() -> list[dict[str, Any]]:
        return [row for row in site.pilots() if row["pilot"] not in before]

    def cycled() -> datetime:
        return datetime.fromisoformat(json.loads(site.fallow("status", "--json").stdout)["last_cycle"])

    def gone() -> None:
        def ended() -> bool:
            return any(
                row["node"] == node.name and row["state"] == "ended" and row["code"] == BROKEN
                for row in new()
            )

        wait_until(ended, f"the end of a pilot on {node.name}", 240, pause_s=0.5)

    with breaks(node), drained(site, others):
        site.fallow("resume")
        wait_until(lambda: bool(new()), f"a pilot of {site.name}", 180, pause_s=0.5)
        # It is found out whether others follow: not for an hour.
        with site.with_policy(wait_s=3600):
            if spoil:
                submit({f"fails-{number}": ("false",) for number in range(spoil)}, centre=site.name)
                gone()
            batch = submit({"job": ("true",)}, centre=site.name)
            gone()
            started, ended = len(new()), cycled()
            wait_until(lambda: cycled() > ended + LOOKED, "more looks of the launcher", 90, pause_s=0.5)
            status = json.loads(site.fallow("status", "--json").stdout)
            limit = status["limited_by"], status["because"]
            seen = Seen(new(), node.name, started, batch.records()["job"], limit)
            batch.remove()
            return seen


@pytest.fixture(scope="module")
def seen(site: Callable[[str], Site], submit: Callable[..., Batch]) -> dict[str, Seen]:
    """Three centres with a broken node each, side by side."""
    places = {
        "full disk": (site("alder"), full_disk),
        "no user namespaces": (site("birch"), no_user_namespaces),
        "clock skew": (site("cedar"), skewed_clock),
    }
    with ThreadPoolExecutor() as pool:
        running = {
            name: pool.submit(observe, place, breaks, submit) for name, (place, breaks) in places.items()
        }
        return {name: task.result() for name, task in running.items()}


@pytest.fixture(scope="module")
def spoilt(site: Callable[[str], Site], submit: Callable[..., Batch]) -> Seen:
    """A node on which job after job fails."""
    cedar = site("cedar")
    cedar.wait_for_pilots()
    return observe(cedar, failing_payloads, submit, spoil=10)


REASONS = {
    "full disk": "no space left",
    "no user namespaces": "namespace",
    "clock skew": "clock",
}


@pytest.mark.parametrize("how", REASONS)
def test_the_pilot_says_what_is_broken(seen: dict[str, Seen], how: str) -> None:
    ended = [row for row in seen[how].pilots if row["node"] == seen[how].node and row["state"] == "ended"]
    assert {row["code"] for row in ended} == {BROKEN}
    assert all(REASONS[how] in row["reason"].lower() for row in ended), ended


@pytest.mark.parametrize("how", REASONS)
def test_the_broken_node_takes_no_further_work(seen: dict[str, Seen], how: str) -> None:
    one = seen[how]
    assert not [row for row in one.pilots if row["state"] != "ended"]
    assert (one.job.state, one.job.starts) == (JobState.WAITING, 0)


@pytest.mark.parametrize("how", REASONS)
def test_it_does_not_cause_relaunching(seen: dict[str, Seen], how: str) -> None:
    one = seen[how]
    assert len(one.pilots) == one.started
    assert one.limit[0] == "backoff", one.limit


def test_a_pilot_in_which_job_after_job_fails_leaves_and_is_not_replaced(spoilt: Seen) -> None:
    (pilot,) = spoilt.pilots
    assert (pilot["code"], pilot["state"]) == (BROKEN, "ended")
    assert "The last 10 jobs failed" in pilot["reason"]
    assert (spoilt.job.state, spoilt.job.starts) == (JobState.WAITING, 0)
    assert spoilt.limit[0] == "backoff"


def test_centres_give_again_once_the_node_is_mended(
    seen: dict[str, Seen], site: Callable[[str], Site]
) -> None:
    for name in ("alder", "birch", "cedar"):
        site(name).wait_for_pilots()
