"""Pilots and launchers obey their own centre only, and one launcher acts for a centre however many are started."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.pilots.sites import Site

from fallow_testbed import centre as testbed_centre
from fallow_testbed.wait import wait_until

Operator = Callable[..., CompletedProcess[str]]

AD = "echo 'TotalCpus = 1' | condor_update_machine_ad -name \"$0\" /dev/stdin"
COMMANDS = {
    "end it": ("condor_off", "-fast", "-name", "{master}"),
    "end its startd": ("condor_off", "-fast", "-daemon", "startd", "-name", "{master}"),
    "restart it": ("condor_restart", "-fast", "-name", "{master}"),
    "drain it": ("condor_drain", "{slot}"),
    "vacate it": ("condor_vacate", "-fast", "{slot}"),
    "make it read its settings again": ("condor_reconfig", "-name", "{master}"),
    "resize it": ("condor_config_val", "-name", "{slot}", "-startd", "-rset", "NUM_CPUS = 1"),
    "resize it for good": ("condor_config_val", "-name", "{slot}", "-startd", "-set", "NUM_CPUS = 1"),
    "change its slot": ("sh", "-c", AD, "{slot}"),
}
"""What the hub's own account, which has every key of the hub, might try."""


@pytest.fixture(scope="module")
def alder(site: Callable[[str], Site]) -> Iterator[Site]:
    """A centre whose pilots run, and stay though there is no work."""
    found = site("alder")
    before = found.policy.read_text()
    patient = before.replace("idle_exit_s = 60", "idle_exit_s = 900").replace(
        "fizzle_s = 61", "fizzle_s = 960"
    )
    found.follow(patient)
    found.wait_for_pilots()
    yield found
    found.follow(before)
    if json.loads(found.fallow("status", "--json").stdout)["launcher"] == "not running":
        found.start_launcher()


@pytest.fixture(scope="module")
def pilot(alder: Site, operator: Operator) -> dict[str, str]:
    """A pilot that the hub sees, with its batch job and slot."""

    def listed() -> dict[str, str]:
        seen = operator(
            "condor_status", "-constraint", 'SlotType == "Partitionable"', "-af", "FallowPilot", "Name"
        )
        return dict(line.split() for line in seen.stdout.splitlines())

    def both() -> list[tuple[dict[str, Any], str]]:
        slots = listed()
        rows = alder.pilots(state="running")
        return [(row, slots[row["pilot"]]) for row in rows if row["pilot"] in slots]

    (row, slot), *_ = wait_until(both, "a pilot of alder in the pool", 120, pause_s=0.5)
    name = row["pilot"]
    master = f"{name}@{row['node']}"
    named = ("condor_status", "-master", "-constraint", f'Name == "{master}"', "-af", "Name")
    wait_until(lambda: bool(operator(*named).stdout), "the pilot's master in the pool", 60, pause_s=0.5)
    return {"pilot": name, "master": master, "slot": slot, "job": row["native_id"]}


def seen_by_hub(operator: Operator, pilot: str) -> list[str]:
    """Start, size and state of a pilot as the pool shows it."""
    constraint = f'FallowPilot == "{pilot}" && SlotType == "Partitionable"'
    values = ("DaemonStartTime", "TotalCpus", "State", "Activity")
    return operator("condor_status", "-constraint", constraint, "-af", *values).stdout.split()


@pytest.mark.parametrize("what", COMMANDS)
def test_the_hub_itself_cannot(alder: Site, operator: Operator, pilot: dict[str, str], what: str) -> None:
    before = seen_by_hub(operator, pilot["pilot"])
    argv = [word.format(**pilot) for word in COMMANDS[what]]
    done = operator(*argv, check=False)
    said = done.stdout + done.stderr
    assert re.search(r"Failed to authenticate|DENIED|failed|Can't (send|receive)", said), said
    assert pilot["job"] in alder.batch_jobs()
    assert seen_by_hub(operator, pilot["pilot"]) == before


def test_the_gateway_has_no_call_that_starts_or_stops_a_pilot() -> None:
    from fallow.hub import HubClient

    calls = {name for name in vars(HubClient) if not name.startswith("_")}
    assert not [
        name for name in calls if any(word in name for word in ("start", "stop", "launch", "withdraw"))
    ]


def planned(site: Site) -> int:
    """How many pilots the launcher would start."""
    found = re.match(r"([0-9]+) pilots would start", site.fallow("run", "--dry-run").stdout)
    assert found
    return int(found[1])


def test_ten_launchers_started_at_once_act_as_one(alder: Site) -> None:
    alder.fallow("withdraw", "--now")
    alder.kill_launcher()
    alder.fallow("resume")
    before = {row["pilot"] for row in alder.pilots()}
    wait_until(lambda: planned(alder) > 0, "the end of a pause that the launcher made", 60, pause_s=0.5)
    wanted = planned(alder)
    argv = ["fallow", "-v", "pilot", "run", "--policy", testbed_centre.POLICY, "--interval-s", "600"]
    log = f"/var/log/fallow/launchers-{len(before)}.log"
    launchers = [alder.login.spawn(argv, user=testbed_centre.ACCOUNT, log=log) for _ in range(10)]
    wait_until(
        lambda: sum(one.poll() is not None for one in launchers) == 9, "the end of nine launchers", 180
    )
    codes = [one.poll() for one in launchers if one.poll() is not None]
    assert codes == [4] * 9, "each is told that another one acts"
    alder.wait_for_pilots()
    started = [row for row in alder.pilots() if row["pilot"] not in before]
    assert len(started) == wanted
    assert len(alder.batch_jobs()) == wanted
    said = (alder.login.files / log.lstrip("/")).read_text()
    assert said.count("Another launcher acts for this centre: process") == 9


def test_a_launcher_that_was_killed_knows_its_pilots_when_it_is_started_again(alder: Site) -> None:
    alder.wait_for_pilots()
    before = alder.batch_jobs()
    last = json.loads(alder.fallow("status", "--json").stdout)["last_cycle"]
    alder.kill_launcher()
    alder.start_launcher()
    wait_until(
        lambda: json.loads(alder.fallow("status", "--json").stdout)["last_cycle"] > last,
        "a cycle",
        60,
        pause_s=0.5,
    )
    assert {row["native_id"] for row in alder.pilots()} >= set(before), "none is forgotten"
    after = alder.batch_jobs()
    assert len(set(after.values())) == len(after) <= 3, "none is there twice"
