"""Centres whose nodes have no disk, and reach the launcher's host only (oak) or a shared file system only (elm).

Their launchers' relays lead them to the hub and its store, and nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import monitoring
from tests.integration.closed import LOOK, Centre, federation, kill_relay, kill_way
from tests.integration.pilots.work import STARTS

from fallow_pilots.relay import connect
from fallow_testbed import hub, network
from fallow_testbed.centre import METRICS
from fallow_testbed.wait import wait_until

DECLARATION = """
[centres.oak]
nodes = 1
cores = 6
nodes_reach = "login"
scratch_mb = 2000
pilots = { max_pilots = 1, cores = 4, memory_mb = 4096, idle_exit_s = 600 }
[centres.elm]
nodes = 1
cores = 6
nodes_reach = "nothing"
scratch_mb = 2000
pilots = { max_pilots = 1, cores = 4, memory_mb = 4096, idle_exit_s = 600 }
[users]
alice = { centre = "oak" }
bob = { centre = "elm" }
"""
CUT_S = 5
SHORT = 100


@pytest.fixture(scope="module")
def centres(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Centre]]:
    """Both centres."""
    both = ("oak", "alice"), ("elm", "bob")
    with federation(tmp_path_factory.mktemp("awkward"), layers, DECLARATION, *both) as found:
        yield found


@pytest.fixture(scope="module")
def oak(centres: list[Centre]) -> Centre:
    """Its node reaches its login host."""
    return centres[0]


@pytest.fixture(scope="module")
def elm(centres: list[Centre]) -> Centre:
    """Its node reaches nothing, but shares a file system with its login host."""
    return centres[1]


@pytest.fixture(params=[0, 1], ids=["oak", "elm"])
def centre(request: pytest.FixtureRequest, centres: list[Centre]) -> Centre:
    """Each of the two."""
    index: int = request.param
    return centres[index]


def test_jobs_reach_the_hub_and_its_store_and_nothing_else(centres: list[Centre], tmp_path: Path) -> None:
    dial = ["timeout", "2", "bash", "-c", 'exec 3<>"/dev/tcp/10.77.0.1/8443"']
    for centre in centres:
        assert centre.node.run(dial, check=False).returncode != 0, "the node has no way out"
    script = tmp_path / "look.py"
    script.write_text(LOOK)
    looks = [
        centre.submit({centre.name: ("python3", script.name)}, input_files=(script,)) for centre in centres
    ]
    done = [job for batch in looks for job in batch.wait_done().values()]
    assert [job.centre for job in done] == [centre.name for centre in centres]


def test_nodes_that_dial_nothing_leave_files_that_are_closed_to_others(elm: Centre) -> None:
    dial = ["timeout", "2", "bash", "-c", 'exec 3<>"/dev/tcp/elm/9620"']
    assert elm.node.run(dial, check=False).returncode != 0
    carried = "/home/pilot/state/carried"
    assert elm.node.run(["ls", carried]).stdout.startswith("elm-1.")
    assert elm.node.run(["ls", carried], user="local", check=False).returncode != 0
    assert elm.node.run(["find", carried, "-perm", "/077"]).stdout == ""


def test_files_in_memory_are_taken_from_the_memory_that_is_offered(oak: Centre) -> None:
    checked = json.loads(oak.site.login.run(["cat", "/home/pilot/state/pilots/oak-1/node.json"]).stdout)
    assert checked["attributes"]["FallowScratch"] == "memory"
    own = 'PartitionableSlot && FallowCentre == "oak"'
    ask = ["condor_status", "-constraint", own, "-af", "TotalSlotMemory", "TotalSlotDisk"]
    said = oak.bed.host("hub").run(ask, user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT).stdout
    memory_mb, disk_kb = (float(word) for word in said.split())
    assert memory_mb + disk_kb / 1024 <= 4096


def test_killed_processes_and_a_cut_network_lose_and_double_nothing(centres: list[Centre]) -> None:
    sleep = ("sh", "-c", f'{STARTS} test "${{starts:-0}}" -gt 0 || sleep {CUT_S + 5}')
    long = [centre.submit({"long": sleep}) for centre in centres]
    for batch in long:
        batch.wait_running()
    many: dict[str, tuple[str, ...]] = {f"short-{number}": ("true",) for number in range(SHORT)}
    short = [centre.submit(many, memory_mb=64) for centre in centres]
    for batch in short:
        batch.wait("the first ends", lambda found: any(job.succeeded for job in found.values()))
    for centre in centres:
        kill_relay(centre)
        kill_way(centre)
        network.cut(centre.site.login)
    time.sleep(CUT_S)
    for centre in centres:
        network.mend(centre.site.login)
    for batch in (*short, *long):
        batch.wait_done(300)
    for centre in centres:
        assert {row["pilot"] for row in centre.site.pilots()} == {f"{centre.name}-1"}, "the pilot stayed"


def test_the_check_of_a_policy_without_a_profile_says_what_to_write(centre: Centre) -> None:
    site = centre.site
    profile = f'profile = "{centre.profile}"'
    direct = site.policy.with_name("direct.toml")
    direct.write_text(site.policy.read_text().replace(profile, 'profile = "direct"'))
    done = site.fallow("check", "--json", "--policy", "/home/pilot/direct.toml", check=False, timeout_s=300)
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found["policy: network.profile"]["line"] == f"network.{profile}"
    assert not found[f"node {centre.name}-1: collector"]["fit"]
    hops = json.loads(site.fallow("explain-network", "--json").stdout)["hops"]
    dialled = {(hop["host"], hop["port"]) for hop in hops if hop["source"] == "compute nodes"}
    assert dialled == ({("oak", 9620)} if centre.name == "oak" else set()), "nodes need one hole, or none"


def test_the_relay_leads_nowhere_else_and_only_for_pilots(oak: Centre) -> None:
    login = oak.site.login
    terms = json.loads(login.run(["cat", "/home/pilot/state/relay.json"]).stdout)
    ask = "exec 3<>/dev/tcp/oak/9620; printf '%s' \"$0\" >&3; head -n 1 <&3"

    def answer(target: str, key: str) -> str:
        head = connect.request(target, key, time.time()).decode()
        return oak.node.run(["bash", "-c", ask, head], user="local").stdout.strip()

    assert answer("hub:8443", terms["key"]).startswith("HTTP/1.1 200 ")
    assert answer("hub:8443", "0" * 64).startswith("HTTP/1.1 407 ")
    assert answer("desk:22", terms["key"]).startswith("HTTP/1.1 403 ")

    def told() -> str:
        return login.run(["cat", f"{METRICS}/fallow_relay_oak.prom"], check=False).stdout

    wait_until(lambda: 'status="403"' in told(), "the relay's next numbers", 60)
    monitoring.promtool(Path.cwd(), "check", "metrics", told=told())
