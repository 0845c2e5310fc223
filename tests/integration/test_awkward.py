"""A centre whose nodes have no way out and no disk: its launcher's relay leads them to the hub and its store only."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import STARTS, USER, Batch, submitted

from fallow_pilots.relay import connect
from fallow_testbed import hub, network, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = """
[centres.oak]
nodes = 1
cores = 6
outbound = false
scratch_mb = 2000
pilots = { max_pilots = 1, cores = 4, memory_mb = 4096, idle_exit_s = 600 }
[users]
alice = { centre = "oak" }
"""
CUT_S = 5
LOOK = """
import socket, ssl, urllib.request
unchecked = ssl._create_unverified_context()
assert urllib.request.urlopen("https://hub:8443/healthz", context=unchecked).status == 200
socket.create_connection(("hub", 8333), 10).close()
for place in (("oak", 9620), ("10.77.2.1", 22), ("desk", 22), ("hub", 22), ("1.1.1.1", 53)):
    try:
        socket.create_connection(place, 3)
    except OSError:
        continue
    raise SystemExit(f"{place} was reached")
"""
"""A job that reaches gateway and store, and fails where it reaches anything else."""
SHORT = 100


@dataclass
class Oak:
    """The federation of one centre whose node has no way out."""

    bed: Testbed
    image: str

    def at(self, person: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function at the desk, as that person."""
        return inside(
            self.bed.host("desk"), people.environment(self.bed.layout(), person), function, *arguments
        )

    @property
    def site(self) -> Site:
        """The centre."""
        return Site("oak", self.bed.layout())

    def submit(self, jobs: dict[str, Sequence[str]], **values: Any) -> Batch:
        """Submit jobs."""
        run = f"awkward-{secrets.token_hex(4)}"
        specs = [
            {"key": name, "name": name, "image": self.image, "argv": tuple(argv), **values}
            for name, argv in jobs.items()
        ]
        return Batch(self.at, run, dict(zip(jobs, self.at(USER, submitted, run, specs), strict=True)))


@pytest.fixture(scope="module")
def oak(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oak]:
    place = tmp_path_factory.mktemp("awkward")
    declaration = place / "oak.toml"
    declaration.write_text(DECLARATION)
    bed = Testbed(place / "testbed")
    bed.up(declaration, layers, Progress())
    packed = ensure_sif("analysis")
    found = Oak(bed, f"sha256:{packed.sha256}")
    found.at(USER, published, packed.sif, found.image)
    yield found
    bed.down()


def relay_of(login: Host) -> int:
    """The relay's process; 0 where none runs."""
    said = login.run(["pgrep", "-f", "fallow_pilots[.]relay"], check=False).stdout.split()
    return int(said[0]) if said else 0


def test_jobs_reach_the_hub_and_its_store_and_nothing_else(oak: Oak, tmp_path: Path) -> None:
    dial = ["bash", "-c", 'exec 3<>"/dev/tcp/10.77.0.1/8443"']
    dialled = oak.bed.host("oak-1").run(dial, check=False, timeout_s=300)
    assert dialled.returncode != 0, "the node has no way out"
    script = tmp_path / "look.py"
    script.write_text(LOOK)
    batch = oak.submit({"look": ("python3", script.name)}, input_files=(script,))
    assert batch.wait_done()["look"].centre == "oak"


def test_files_in_memory_are_taken_from_the_memory_that_is_offered(oak: Oak) -> None:
    checked = json.loads(oak.site.login.run(["cat", "/home/pilot/state/pilots/oak-1/node.json"]).stdout)
    assert checked["attributes"]["FallowScratch"] == "memory"
    ask = ["condor_status", "-constraint", "PartitionableSlot", "-af", "TotalSlotMemory", "TotalSlotDisk"]
    said = oak.bed.host("hub").run(ask, user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT).stdout
    memory_mb, disk_kb = (float(word) for word in said.split())
    assert memory_mb + disk_kb / 1024 <= 4096


def test_a_killed_relay_and_a_cut_network_lose_and_double_nothing(oak: Oak) -> None:
    long = oak.submit({"long": ("sh", "-c", f'{STARTS} test "${{starts:-0}}" -gt 0 || sleep {CUT_S + 5}')})
    long.wait_running()
    short = oak.submit({f"short-{number}": ("true",) for number in range(SHORT)}, memory_mb=64)
    short.wait("the first ends", lambda found: any(job.succeeded for job in found.values()))
    login, before = oak.site.login, relay_of(oak.site.login)
    login.run(["kill", "-9", str(before)])
    wait_until(lambda: relay_of(login) not in (0, before), "another relay, started by the launcher", 30)
    network.cut(login)
    time.sleep(CUT_S)
    network.mend(login)
    done = {**short.wait_done(300), **long.wait_done()}
    assert len(done) == SHORT + 1
    assert {row["pilot"] for row in oak.site.pilots()} == {"oak-1"}, "the pilot stayed"


def test_the_check_of_a_policy_without_the_relay_says_what_to_write(oak: Oak) -> None:
    site = oak.site
    relayed = site.policy.read_text()
    direct = site.policy.with_name("direct.toml")
    direct.write_text(relayed.replace('profile = "relay"', 'profile = "direct"'))
    done = site.fallow("check", "--json", "--policy", "/home/pilot/direct.toml", check=False, timeout_s=300)
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found["policy: network.profile"]["line"] == 'network.profile = "relay"'
    assert not found["node oak-1: collector"]["fit"]
    hops = json.loads(site.fallow("explain-network", "--json").stdout)["hops"]
    dialled = {(hop["host"], hop["port"]) for hop in hops if hop["source"] == "compute nodes"}
    assert dialled == {("oak", 9620)}, "nodes need one hole in the firewall"


def test_the_relay_leads_nowhere_else_and_only_for_pilots(oak: Oak) -> None:
    login = oak.site.login
    terms = json.loads(login.run(["cat", "/home/pilot/state/relay.json"]).stdout)
    ask = "exec 3<>/dev/tcp/oak/9620; printf '%s' \"$0\" >&3; head -n 1 <&3"

    def answer(target: str, key: str) -> str:
        head = connect.request(target, key, time.time()).decode()
        return oak.bed.host("oak-1").run(["bash", "-c", ask, head], user="local").stdout.strip()

    assert answer("hub:8443", terms["key"]).startswith("HTTP/1.1 200 ")
    assert answer("hub:8443", "0" * 64).startswith("HTTP/1.1 407 ")
    assert answer("desk:22", terms["key"]).startswith("HTTP/1.1 403 ")
