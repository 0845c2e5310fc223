"""The hub is gone for two minutes: centres keep to their policies, and no work is lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import Batch

from fallow.queue.records import JobRecord
from fallow_testbed import hub
from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

AWAY_S = 120
CLOSED = """
add table inet nodes
add chain inet nodes out { type filter hook output priority 0; }
add rule inet nodes out ip daddr { 10.77.1.0/24, 10.77.2.0/24, 10.77.3.0/24 } tcp flags & (syn | ack) == syn reject
"""
UNTIL = ("sh", "-c", 'while test "$(date +%s)" -lt "$0"; do sleep 0.5; done')
"""A job that computes until the unix time in its last argument."""


@dataclass
class Outage:
    """What was seen while the hub was away, and after it."""

    busy: str
    """The pilot that runs the long job."""
    began: float
    """When the hub went, in Unix time."""
    pilots: dict[str, str] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    new_pilot: dict[str, Any] = field(default_factory=dict)
    withdrawn: str = ""
    left: dict[str, str] = field(default_factory=dict)
    records: dict[str, JobRecord] = field(default_factory=dict)


def stop(hub_host: Host) -> None:
    """Kill HTCondor, gateway and matcher, as a power cut would."""
    hub_host.run(["sh", "-c", f"kill -9 $(ps -u {hub.ACCOUNT} -o pid=)"], check=False)
    alive = ["sh", "-c", f"ps -u {hub.ACCOUNT} -o stat= | grep -v Z"]
    wait_until(lambda: hub_host.run(alive, check=False).stdout.strip() == "", "the hub's end", 20)


def start(hub_host: Host) -> None:
    """Start what was killed."""
    hub.start_condor(hub_host)
    hub.start_gateway(hub_host)
    hub.start_matcher(hub_host)
    hub.start_campaigns(hub_host)


def during(alder: Site, birch: Site, cedar: Site, seen: Outage) -> None:
    """What happens at three centres while the hub is away."""

    def status() -> dict[str, Any]:
        return dict(json.loads(birch.fallow("status", "--json").stdout))

    def new_pilot() -> None:
        """A pilot ends, and the launcher, killed and started again meanwhile, replaces it as the policy says."""
        birch.kill_launcher()
        birch.start_launcher()
        victim, *_ = wait_until(birch.active, "a pilot", 60, pause_s=0.5)  # an idle one may just have left
        birch.login.run(["scancel", victim["native_id"]])
        known = {row["pilot"] for row in birch.pilots()}

        def added() -> list[dict[str, Any]]:
            asked_for = [row for row in birch.active() if row["state"] != "intent"]
            return [row for row in asked_for if row["pilot"] not in known]

        seen.new_pilot = wait_until(added, "a new pilot", 60, pause_s=0.5)[0]
        wait_until(
            lambda: "keeps to its policy" in status()["hub"],
            "the launcher's word on the hub",
            60,
            pause_s=0.5,
        )
        seen.status = status()

    def withdrawal() -> None:
        seen.withdrawn = cedar.fallow("withdraw", "--now").stdout
        seen.left = cedar.batch_jobs()

    with ThreadPoolExecutor() as pool:
        for task in (pool.submit(new_pilot), pool.submit(withdrawal)):
            task.result()
    seen.pilots = alder.batch_jobs()


@pytest.fixture(scope="module")
def answers_only(hub_host: Host) -> Iterator[None]:
    """The hub cannot dial nodes, as at nearly every centre: what comes back to them are answers."""
    hub_host.run(["nft", "-f", "-"], stdin=CLOSED)
    yield
    hub_host.run(["nft", "delete table inet nodes"])


def brokers_know(operator: Callable[..., CompletedProcess[str]]) -> bool:
    """Whether the broker (CCB) would know every pilot again.

    HTCondor writes a pilot down some 20 s after it came. A broker that is killed before that gives it another number, and
    the shadow of its job does not find it any more.
    """
    addresses = operator("condor_status", "-af", "MyAddress").stdout
    written = operator("sh", "-c", "cat /var/lib/fallow/spool/*.ccb_reconnect").stdout
    return set(re.findall(r"#([0-9]+)&", addresses)) <= {line.split()[1] for line in written.splitlines()}


@pytest.fixture(scope="module")
def outage(
    answers_only: None,
    site: Callable[[str], Site],
    submit: Callable[..., Batch],
    hub_host: Host,
    operator: Callable[..., CompletedProcess[str]],
) -> Outage:
    """Two minutes without the hub, while jobs run at `alder`."""
    alder, birch, cedar = (site(name) for name in ("alder", "birch", "cedar"))
    for place in (alder, birch, cedar):
        place.wait_for_pilots()
    # One ends while the hub is away, one after it is back, also where it has to be started again.
    batch = submit({"short": ("sleep", "45"), "long": (*UNTIL, str(int(time.time() + 180)))}, centre="alder")
    batch.wait_running(120)
    wait_until(lambda: brokers_know(operator), "the broker's record of the pilots", 90, pause_s=0.5)
    seen = Outage(busy=str(batch.records()["long"].pilot), began=time.time())
    stop(hub_host)
    gone = time.monotonic()
    try:
        during(alder, birch, cedar, seen)
        wait_until(
            lambda: time.monotonic() - gone >= AWAY_S, "the end of the outage", AWAY_S + 5, pause_s=0.5
        )
    finally:
        start(hub_host)
        cedar.fallow("resume")
    seen.records = batch.wait_done(300)
    return seen


def test_the_launcher_says_that_the_hub_is_away_and_keeps_to_its_policy(outage: Outage) -> None:
    assert outage.status["state"] == "open"
    assert "keeps to its policy" in outage.status["hub"]
    assert outage.status["batch_system"] == "answers"
    assert outage.new_pilot["state"] in {"queued", "running"}, "a pilot is started while the hub is away"


def test_a_withdrawal_needs_no_hub(outage: Outage) -> None:
    assert "The capacity is free" in outage.withdrawn
    assert outage.left == {}


def test_a_pilot_at_work_stays(outage: Outage) -> None:
    assert f"fallow-{outage.busy}" in outage.pilots.values()


def test_no_job_is_lost_or_submitted_again(outage: Outage) -> None:
    assert {name: job.exit_code for name, job in outage.records.items()} == {"short": 0, "long": 0}


def test_a_job_that_computes_on_is_found_again(outage: Outage) -> None:
    found = outage.records["long"]
    assert found.pilot == outage.busy
    assert found.started is not None
    assert found.started < outage.began


def test_the_pool_fills_again_by_itself(outage: Outage, hub_host: Host) -> None:
    env = hub.CONDOR_ENVIRONMENT

    def centres() -> set[str]:
        said = hub_host.run(["condor_status", "-af", "FallowCentre"], user=hub.ACCOUNT, env=env, check=False)
        return set(said.stdout.split())

    wait_until(
        lambda: centres() >= {"alder", "birch", "cedar"}, "pilots of every centre in the pool", 180, pause_s=1
    )
