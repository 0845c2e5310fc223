"""A hub is backed up while it works, its machine is lost, another machine becomes the hub, and runs it under systemd."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.conftest import inside, published
from tests.integration.operation.systemd import Run, systemd_on
from tests.integration.pilots.work import LONG, status_of, submitted

from fallow.client import connect
from fallow.hub import HubRefusedError
from fallow.ledger.messages import Key
from fallow.login.peek import peek
from fallow_matcher.operation.restore import GAP
from fallow_matcher.operation.units import TARGET, service
from fallow_matcher.room import REFUSAL
from fallow_testbed import files, hub, issuer, network, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = Path(__file__).parent / "federation.toml"
BACKUP = "/root/hub.tar.gz"
RUN = "moved"


@dataclass
class Moved:
    """What was seen before the machine was lost and after another took its place."""

    spare: Host
    image: str
    ids: dict[str, str]
    ledger_before: list[tuple[int, float]]
    ledger_after: list[tuple[int, float]] = field(default_factory=list)
    late: str = ""
    refused_token: str = ""

    def condor(self, *argv: str) -> CompletedProcess[str]:
        """Run one of HTCondor's programs on the new machine."""
        return self.spare.run(list(argv), user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT, check=False)

    def says(self, job: str, attribute: str) -> str:
        """An attribute of a job in the queue."""
        return self.condor("condor_q", "-name", hub.QUEUE, job, "-af", attribute).stdout.strip()


@pytest.fixture(scope="module")
def bed(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A small federation whose hub may be lost."""
    testbed = Testbed(tmp_path_factory.mktemp("testbeds") / "operation")
    testbed.up(DECLARATION, layers, Progress())
    yield testbed
    testbed.down()


@pytest.fixture(scope="module")
def at_desk(bed: Testbed) -> Callable[..., Any]:
    """`at_desk(function, *arguments)`: what it gives when alice calls it."""
    environment = people.environment(bed.layout(), "alice")
    return lambda function, *arguments: inside(bed.host("desk"), environment, function, *arguments)


@pytest.fixture(scope="module")
def moved(bed: Testbed, at_desk: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Moved:
    """Back up a hub with a job that ended, one that runs and one that waits; lose its machine; restore it on another."""
    packed = ensure_sif("analysis")
    image = f"sha256:{packed.sha256}"
    at_desk(published, packed.sif, image)
    layout, old = bed.layout(), bed.host("hub")
    ids = dict(zip(("ended",), at_desk(submitted, RUN, [job("ended", image, ("true",))]), strict=True))
    wait_until(lambda: bool(at_desk(charged)), "the run in the ledger", 150, 0.5)
    jobs = [job("runs", image, LONG), job("waits", image, ("cat", "numbers"), cores=2)]
    folder = tmp_path_factory.mktemp("input")
    (folder / "numbers").write_text("1 2 3\n")
    jobs[1] |= {"directory": folder, "input_files": (folder / "numbers",)}
    ids |= dict(zip(("runs", "waits"), at_desk(submitted, RUN, jobs), strict=True))
    wait_until(lambda: status(old, ids["runs"]) == "2", "the long job's start", 150, 0.5)
    token = issuer.token(old, "alice", hub.GATEWAY_URL)
    assert not at_desk(refused, token)
    old.run(["fallow", "hub", "revoke", "--jti", peek(token)[1]["jti"]])

    began = time.monotonic()
    said = old.run(["fallow", "hub", "backup", "--output", BACKUP]).stderr
    print(f"\nthe backup of a working hub took {time.monotonic() - began:.1f} s: {said.strip()}")
    saved = (old.files / BACKUP.lstrip("/")).read_bytes()
    seen = Moved(bed.host("hub"), image, ids, at_desk(charged), refused_token=token)
    # It finds no room: the slot of a job that no hub knows any more is free again only when its lease is over.
    (seen.late,) = at_desk(submitted, RUN, [job("late", image, ("true",), cores=2)])

    lost = time.monotonic()
    old.kill()
    seen.spare = another_machine(layout)
    (seen.spare.files / BACKUP.lstrip("/")).write_bytes(saved)
    seen.spare.run(["fallow", "hub", "restore", BACKUP])
    seen.spare.spawn(["fallow", "-v", "hub", "up", "--foreground"], log="/var/log/fallow/up.log")
    wait_until(lambda: seen.says(ids["waits"], "JobStatus") != "", "the queue", 60, 0.5)
    print(f"the hub's machine was lost; another had the queue {time.monotonic() - lost:.1f} s later")
    wait_until(lambda: answers(at_desk), "the gateway", 60, 0.5)
    seen.ledger_after = at_desk(charged)
    return seen


def job(name: str, image: str, argv: Sequence[str], **more: Any) -> dict[str, Any]:
    return {"key": name, "name": name, "image": image, "argv": tuple(argv), **more}


def charged() -> list[tuple[int, float]]:
    """The runs in the ledger that have ended, and their core-seconds, by outcome; called at the desk."""
    now = int(time.time())
    return [(each.runs, each.core_s) for each in connect().usage([Key.OUTCOME], now - 3600, now + 60).sums]


def refused(token: str) -> str:
    """How the gateway refuses a token; called at the desk."""
    client = connect()
    client._token = lambda: token
    try:
        client.exchange("condor:/READ")
    except HubRefusedError as error:
        return error.code
    return ""


def answers(at_desk: Callable[..., Any]) -> bool:
    try:
        at_desk(charged)
    except AssertionError:
        return False
    return True


def status(host: Host, job_id: str) -> str:
    argv = ["condor_q", "-name", hub.QUEUE, job_id, "-af", "JobStatus"]
    return host.run(argv, user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT, check=False).stdout.strip()


def another_machine(layout: Layout) -> Host:
    """A new machine with nothing of a hub on it, under the lost one's address; its own name is another."""
    spare = Host("spare", layout.hosts_directory / "spare", layout.layers)
    addresses = layout.spec.addresses()
    files.write(spare, "/etc/hosts", files.hosts_file({**addresses, "spare": addresses["hub"]}))
    files.write(spare, "/etc/resolv.conf", "")
    spare.start()
    network.plug_in(layout.switch(), spare, addresses["hub"], None)
    for host in (layout.desk(), *layout.centre_hosts("alder")):
        host.run(["ip", "neigh", "flush", "all"])
    return spare


def test_the_job_that_ran_runs_on(moved: Moved) -> None:
    log = moved.spare.files / "var/lib/fallow/log/ShadowLog"
    wait_until(lambda: "Reconnect SUCCESS" in log.read_text(), "the way back to the pilot", 200, 0.5)
    assert moved.says(moved.ids["runs"], "JobStatus") == "2"


def test_what_came_after_the_backup_is_lost_and_its_number_is_not_given_again(
    moved: Moved, at_desk: Callable[..., Any]
) -> None:
    assert moved.says(moved.late, "JobStatus") == ""
    (again,) = at_desk(submitted, RUN, [job("late", moved.image, ("true",))])
    assert int(again.partition(".")[0]) >= GAP


def test_the_job_that_waited_runs_with_its_input_when_the_operator_makes_room(
    moved: Moved, at_desk: Callable[..., Any]
) -> None:
    moved.spare.run(["fallow", "hub", "jobs", "remove", moved.ids["runs"], "--why", "room for others"])

    def ended() -> bool:
        return bool(at_desk(status_of, RUN)["waits"].succeeded)

    wait_until(ended, "the end of the job that waited", 200, 0.5)
    assert at_desk(status_of, RUN)["waits"].id == moved.ids["waits"]


def test_ledger_and_revocations_are_as_they_were(moved: Moved, at_desk: Callable[..., Any]) -> None:
    assert moved.ledger_after == moved.ledger_before
    assert at_desk(refused, moved.refused_token) == "token_revoked"


def test_the_doctor_finds_what_the_new_machine_lacks_and_nothing_else(moved: Moved) -> None:
    def wrong() -> set[str]:
        said = moved.spare.run(["fallow", "hub", "doctor", "--json"], check=False)
        assert said.returncode == 4, said.stderr
        return {row["name"] for row in json.loads(said.stdout) if row["state"] == "wrong"}

    # The testbed's store was on the lost machine. A matcher that is late on a busy machine is found, too.
    wait_until(lambda: wrong() == {"store"}, "a doctor who misses the store alone", 60, 0.5)


def test_a_hub_without_room_takes_no_work_and_says_why_until_there_is_room(
    moved: Moved, at_desk: Callable[..., Any]
) -> None:
    settings = moved.spare.files / hub.SETTINGS.lstrip("/")
    before = settings.read_text()
    settings.write_text(before + "[limits]\nleast_free_mb = 1000000000\n")
    restarted(moved.spare)
    wait_until(lambda: REFUSAL in refusal(moved, at_desk), "the refusal of a job", 60, 0.5)
    settings.write_text(before)
    restarted(moved.spare)
    wait_until(lambda: not refusal(moved, at_desk), "the end of the refusals", 60, 0.5)


def restarted(spare: Host) -> None:
    """Kill the matcher; `fallow hub up` starts it again, with the settings of now."""
    (matcher,) = spare.run(["pgrep", "-f", "fallow -v hub matcher$"]).stdout.split()
    spare.run(["kill", "-9", matcher])


def refusal(moved: Moved, at_desk: Callable[..., Any]) -> str:
    """How the queue refuses a job; empty where it takes it."""
    try:
        at_desk(submitted, "room", [job(f"room-{time.time_ns()}", moved.image, ("true",))])
    except AssertionError as error:
        return str(error)
    return ""


PARTS = ("condor", "gateway", "matcher", "campaigns")


@pytest.fixture
def under_systemd(moved: Moved) -> Iterator[Run]:
    """The hub as systemd runs it, instead of in the foreground."""
    foreground = ["pgrep", "-u", "root", "-f", "hub up --foreground"]
    moved.spare.run(["kill", *moved.spare.run(foreground).stdout.split()])
    wait_until(lambda: not of_the_hub(moved), "the end of what ran in the foreground", 120, 0.5)
    with systemd_on(moved.spare) as run:
        run("fallow", "hub", "init")
        run("fallow", "hub", "up")
        yield run


def of_the_hub(moved: Moved) -> str:
    """The processes of the hub's account."""
    return moved.spare.run(["pgrep", "-u", hub.ACCOUNT], check=False).stdout


def main_processes(run: Run) -> dict[str, str]:
    """The main process of each part that is active, as systemd knows it."""
    found = {}
    for part in PARTS:
        argv = ["systemctl", "show", "--value", "-p", "ActiveState", "-p", "MainPID", service(part)]
        process, state = sorted(run(*argv).stdout.split())
        if state == "active":
            found[part] = process
    return found


def same(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The parts that have one main process at both times."""
    return {part for part, process in before.items() if after.get(part) == process}


def ill(run: Run) -> set[str]:
    """What `fallow hub status` finds not well."""
    said = run("fallow", "hub", "status", "--json", check=False).stdout
    return {part["name"] for part in json.loads(said) if not part["well"]}


def test_systemd_starts_the_hub_brings_killed_parts_back_and_stops_it(
    moved: Moved, at_desk: Callable[..., Any], under_systemd: Run
) -> None:
    run = under_systemd

    def well() -> bool:
        # The testbed's store was on the lost machine.
        return set(main_processes(run)) == set(PARTS) and ill(run) == {"store"} and answers(at_desk)

    wait_until(well, "the hub under systemd", 120, 0.5)
    assert run("systemctl", "is-enabled", TARGET).stdout.strip() == "enabled"
    before = main_processes(run)
    killed = time.monotonic()
    run("kill", "-9", *before.values())
    wait_until(lambda: not same(before, main_processes(run)) and well(), "the hub after a kill", 120, 0.5)
    print(f"\nall parts were killed; systemd had the hub well again {time.monotonic() - killed:.1f} s later")
    before = main_processes(run)
    run("fallow", "hub", "upgrade")
    wait_until(well, "the hub after an upgrade", 120, 0.5)
    assert same(before, main_processes(run)) == {"condor"}
    run("systemctl", "reload", service("gateway"))
    told = ("journalctl", "--no-pager", "-u", service("gateway"))
    wait_until(lambda: "read the certificate" in run(*told).stdout, "the gateway's word in the journal", 60)
    run("systemctl", "stop", TARGET)
    wait_until(lambda: not of_the_hub(moved), "the end of the hub", 120, 0.5)
