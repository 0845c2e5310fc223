"""Centres that get out by the site's proxy only (pine), or take ssh only and are led out by another machine (fir)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closed import LOOK, Centre, federation, kill_connection, kill_proxy
from tests.integration.pilots.work import STARTS

from fallow_testbed import centre as testbed_centre
from fallow_testbed import cvmfs, edge, hub

DECLARATION = """
[centres.pine]
nodes = 1
cores = 6
edge = "proxy"
cvmfs = "mounted"
pilots = { max_pilots = 1, cores = 4, memory_mb = 4096, idle_exit_s = 600 }
[centres.fir]
nodes = 1
cores = 6
nodes_reach = "login"
edge = "ssh"
cvmfs = "hangs"
pilots = { max_pilots = 1, cores = 4, memory_mb = 4096, idle_exit_s = 600 }
[users]
alice = { centre = "pine" }
bob = { centre = "fir" }
"""
SHORT = 50
LONG_S = 12
DIAL = ["timeout", "5", "bash", "-c", 'exec 3<>"/dev/tcp/$0/$1"']


@pytest.fixture(scope="module")
def closed(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Centre]]:
    """Both centres, by name."""
    both = ("pine", "alice"), ("fir", "bob")
    with federation(tmp_path_factory.mktemp("edges"), layers, DECLARATION, *both) as found:
        yield {centre.name: centre for centre in found}


@pytest.fixture
def pine(closed: dict[str, Centre]) -> Centre:
    """It has a proxy."""
    return closed["pine"]


@pytest.fixture
def fir(closed: dict[str, Centre]) -> Centre:
    """Its login host takes ssh and dials nothing."""
    return closed["fir"]


def test_jobs_of_closed_centres_reach_the_hub_and_nothing_else(
    closed: dict[str, Centre], tmp_path: Path
) -> None:
    for name, centre in closed.items():
        for host, place in (
            (name, "10.77.0.1 8443"),
            (f"{name}-1", "10.77.0.1 8443"),
            ("fir", "fir-edge 22"),
        ):
            assert centre.bed.host(host).run([*DIAL, *place.split()], check=False).returncode != 0, host
    script = tmp_path / "look.py"
    script.write_text(LOOK)
    looks = {
        name: centre.submit({"look": ("python3", script.name)}, input_files=(script,))
        for name, centre in closed.items()
    }
    assert [looks[name].wait_done()["look"].centre for name in closed] == list(closed)


def test_jobs_that_ask_for_a_repository_run_where_it_answers(pine: Centre, fir: Centre) -> None:
    ask = f'stringListMember("{cvmfs.REPOSITORY}", TARGET.FallowCvmfs)'
    read = ("grep", "-q", "every machine", f"{cvmfs.PLACE}/README.eessi")
    jobs = pine.submit({f"read-{number}": read for number in range(3)}, centre=None, requirements=ask)
    assert {job.centre for job in jobs.wait_done().values()} == {"pine"}
    seen = {centre.name: node_check(centre) for centre in (pine, fir)}
    assert seen["pine"]["attributes"]["FallowCvmfs_software_eessi_io"] == cvmfs.REVISION
    assert "FallowCvmfs" not in seen["fir"]["attributes"]
    words = [one["words"] for one in seen["fir"]["findings"] if one["check"] == "cvmfs"]
    assert words == [f"The check of {cvmfs.PLACE} did not end within 10 s, or failed."]
    # A job that looks at all that is mounted does not hang with it.
    look = ("sh", "-c", f"! test -e {cvmfs.PLACE} && df")
    assert [job.centre for job in fir.submit({"look": look}).wait_done().values()] == ["fir"]


def node_check(centre: Centre) -> dict[str, Any]:
    """What the centre's pilot found on its node."""
    path = f"/home/pilot/state/pilots/{centre.name}-1/node.json"
    return dict(json.loads(centre.site.login.run(["cat", path]).stdout))


def test_a_killed_proxy_and_a_lost_ssh_connection_lose_and_double_nothing(closed: dict[str, Centre]) -> None:
    script = f'{STARTS} test "${{starts:-0}}" -gt 0 || sleep {LONG_S}'
    long = [centre.submit({"long": ("sh", "-c", script)}) for centre in closed.values()]
    for batch in long:
        batch.wait_running()
    jobs: dict[str, tuple[str, ...]] = {f"short-{number}": ("true",) for number in range(SHORT)}
    short = [centre.submit(jobs, memory_mb=64) for centre in closed.values()]
    for batch in short:
        batch.wait("the first ends", lambda found: any(job.succeeded for job in found.values()))
    kill_connection(closed["fir"])
    kill_proxy(closed["pine"])
    for batch, expected in [*((one, SHORT) for one in short), *((one, 1) for one in long)]:
        assert len(batch.wait_done(300)) == expected
    for name, centre in closed.items():
        assert {row["pilot"] for row in centre.site.pilots()} == {f"{name}-1"}, "the pilot stayed"
    said = closed["fir"].edge.run(["cat", "/var/log/fallow/attach.log"]).stdout
    assert "The ssh connection ended with -9" in said
    assert said.count("fir is attached") == 2


def checked(centre: Centre, *lines: str, env: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    """What `fallow pilot check` says of a policy with other lines about the network."""
    head, _, rest = centre.site.policy.read_text().partition("[network]\n")
    other = centre.site.policy.with_name("other.toml")
    other.write_text("\n".join([f"{head}[network]", *lines, rest[rest.index("[assume]") :]]))
    login, argv = (
        centre.site.login,
        ["fallow", "pilot", "check", "--json", "--policy", "/home/pilot/other.toml"],
    )
    done = login.run(argv, user=testbed_centre.ACCOUNT, env=env, check=False, timeout_s=300)
    return {one["check"]: one for one in json.loads(done.stdout)}


def test_the_check_finds_the_proxy_and_then_the_profile(pine: Centre) -> None:
    proxy = f"http://pine-edge:{edge.PORT}"
    named = checked(pine, env={"https_proxy": proxy.replace("//", f"//{edge.LOGIN}@")})[
        "policy: network.proxy"
    ]
    assert named["line"] == f'network.proxy = "{proxy}"'
    assert "network.proxy_login_file" in named["remedy"]
    lines = [named["line"].removeprefix("network."), f'proxy_login_file = "{edge.LOGIN_FILE}"']
    assert checked(pine, *lines)["policy: network.profile"]["line"] == 'network.profile = "proxy"'


def test_the_check_of_a_host_without_a_way_out_proposes_ssh(fir: Centre) -> None:
    assert checked(fir)["policy: network.attached"]["line"] == "network.attached = true"
    said = fir.site.fallow("explain-network").stdout
    assert "[attached machine] --- 22 --> [fir (launcher's host)]" in said
    assert "nothing outside from this host" in said


def test_what_a_proxy_refuses_is_named_with_what_to_ask_its_admin(pine: Centre) -> None:
    pine.edge.run(["pkill", "-9", "-x", "tinyproxy"])
    edge.start_proxy(pine.edge, ports=(hub.GATEWAY_PORT, 443))
    done = pine.site.fallow("check", "--no-node", "--json", check=False)
    found = {one["check"]: one for one in json.loads(done.stdout)}["way out"]
    assert done.returncode == 1
    assert "refuses connections to hub:9618 (403 Access violation), hub:9619" in found["finding"]
    assert "allow CONNECT to hub:8443 (gateway), hub:9618 (HTCondor collector)" in found["remedy"]


def test_a_server_that_forbids_forwarding_is_told_with_what_to_ask(fir: Centre) -> None:
    fir.edge.run(["pkill", "-f", "fallow.* pilot attach"])
    fir.site.login.run(["pkill", "-o", "sshd"])
    edge.start_sshd(fir.site.login, forwarding=False)
    argv = ["fallow", "pilot", "attach", "pilot@fir", "--policy", testbed_centre.POLICY]
    done = fir.edge.run(argv, user="local", env=edge.CLIENT, check=False)
    assert done.returncode == 4
    assert "AllowTcpForwarding remote" in done.stderr
