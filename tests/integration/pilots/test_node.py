"""A pilot on its node: what it finds and says, how large it is, when it leaves, and that it loses no job by leaving."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import LONG, Batch

from fallow.client import client_settings
from fallow.hub import HubClient
from fallow.reports import PilotReport, RunEnd
from fallow_pilots.layout import PilotFiles
from fallow_testbed import centre as testbed_centre
from fallow_testbed import cvmfs, files, hub, issuer
from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

Operator = Callable[..., CompletedProcess[str]]
GOAL_KB = 60 * 1024
BACK_S = 20.0
"""How soon a job is back in the queue; without a word from its pilot it would take the lease of 180 s."""
GRACE_S = 5
FEATURES = "/tmp/features"
COPY = "/home/software.eessi.io"
"""A copy of a repository, as a site syncs one: a link to the newest."""


@dataclass
class ByHand:
    """A pilot that was started by hand on a node of `cedar`, beside those of the launcher."""

    name: str
    node: Host
    directory: Path
    spec: str
    operator: Operator

    def slot(self, *attributes: str) -> list[str]:
        """Attributes of its slot, as the pool lists them; none before it is listed."""
        constraint = f'FallowPilot == "{self.name}" && PartitionableSlot'
        return self.operator("condor_status", "-constraint", constraint, "-af", *attributes).stdout.split()

    def run(self, *argv: str, **environment: str) -> CompletedProcess[str]:
        """Run `fallow-pilot-node` to its end."""
        command = ["fallow-pilot-node", "--spec", self.spec, *argv]
        return self.node.run(command, user=testbed_centre.ACCOUNT, env=environment, check=False)

    def held_kb(self) -> int:
        """The most memory that its own process has held."""
        own = f"pgrep --oldest --full 'fallow-pilot-node --spec {self.spec}'"
        status = self.node.run(["sh", "-c", f"cat /proc/$({own})/status"]).stdout
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def report_of(token: str, pilot: str) -> PilotReport | None:
    """What the hub knows of a pilot; called at the desk."""
    return HubClient(client_settings(), token=lambda: token).report(pilot)


@pytest.fixture(scope="module")
def by_hand(site: Callable[[str], Site], operator: Operator) -> Iterator[ByHand]:
    """A specification for a pilot of `cedar` that nothing but this module starts."""
    cedar = site("cedar")
    node, *_ = cedar.layout.nodes("cedar")
    pilots = cedar.layout.home("cedar") / testbed_centre.ACCOUNT / "state" / "pilots"
    pilot = cedar.wait_for_pilots()[0]["pilot"]
    values = json.loads((pilots / pilot / "spec.json").read_text())
    directory = pilots / "cedar-900001"
    directory.mkdir(mode=0o700)
    values |= {
        "pilot": directory.name,
        "outcome_file": values["outcome_file"].replace(f"/{pilot}/", f"/{directory.name}/"),
        "cores": 1,
        "memory_mb": 512,
        "idle_exit_s": 600,
        "drain_grace_s": GRACE_S,
        "cvmfs_copies": {cvmfs.REPOSITORY: COPY},
    }
    files.write(cedar.login, f"{COPY}-2077/README", "Software for every machine.\n")
    files.write(cedar.login, f"{COPY}-2077/.cvmfspublished", "B1\nS2077\n--\n")
    cedar.login.run(["ln", "-s", f"{COPY}-2077", COPY])
    owner = files.ids(cedar.login, testbed_centre.ACCOUNT)
    spec = f"{testbed_centre.STATE}/pilots/{directory.name}/spec.json"
    files.write(cedar.login, spec, json.dumps(values), mode=0o600, owner=owner)
    cedar.login.run(
        ["chown", "-R", testbed_centre.ACCOUNT, f"{testbed_centre.STATE}/pilots/{directory.name}"]
    )
    yield ByHand(directory.name, node, directory, spec, operator)
    cedar.login.run(["rm", "-r", f"{testbed_centre.STATE}/pilots/{directory.name}"])
    cedar.login.run(["rm", "-r", COPY, f"{COPY}-2077"])
    node.run(["rm", "-rf", FEATURES])


def test_a_node_can_be_looked_at_without_taking_work(by_hand: ByHand) -> None:
    done = by_hand.run("--check")
    found = json.loads(done.stdout)
    assert (done.returncode, found["fit"]) == (0, True), done.stderr
    assert {"isolation", "disk", "scratch", "image store", "names", "collector", "hub", "allocation"} <= {
        one["check"] for one in found["findings"]
    }
    assert not (by_hand.directory / "outcome.json").exists()
    assert by_hand.node.run(["sh", "-c", f"ls /scratch | grep {by_hand.name}"], check=False).stdout == ""


def test_it_advertises_its_node_stays_small_heeds_the_sites_word_and_tells_the_hub(
    by_hand: ByHand, at: Callable[..., Any], hub_host: Host, submit: Callable[..., Batch]
) -> None:
    files.write(by_hand.node, f"{FEATURES}/total_cpu", "4\n")
    by_hand.node.spawn(
        ["fallow-pilot-node", "--spec", by_hand.spec],
        user=testbed_centre.ACCOUNT,
        env={"MACHINEFEATURES": FEATURES},
        log="/var/log/fallow/by-hand.log",
    )
    wait_until(lambda: len(by_hand.slot("Name", "FallowUntil")) == 2, "the pilot by hand", 60, pause_s=0.5)
    assert by_hand.slot("FallowHasFuse", "FallowIsolated", "FallowImageStore") == ["true"] * 3
    assert by_hand.slot("Cpus", "Memory") == ["1", "512"]
    told = int(by_hand.slot("FallowUntil")[0])
    mine = f'FallowPilot == "{by_hand.name}"'
    read = f"grep every {cvmfs.PLACE}/README && ! touch {cvmfs.PLACE}/mine"
    requirements = f"{mine} && TARGET.FallowCvmfs_software_eessi_io >= 2077"
    jobs = {"good": ("sh", "-c", read), "bad": ("sh", "-c", "exit 3")}
    batch = submit(jobs, requirements=requirements, walltime_s=60)
    batch.wait("their ends", lambda found: all(job.exit_code is not None for job in found.values()))
    held_kb = by_hand.held_kb()
    print(f"a pilot's own process: {held_kb >> 10} MB at most")
    assert held_kb < GOAL_KB

    end = int(time.time()) + 35
    files.write(by_hand.node, f"{FEATURES}/shutdowntime", f"{end}\n")
    wait_until(lambda: by_hand.slot("FallowUntil") == [str(end - GRACE_S)], "the new end", 60, pause_s=0.5)
    assert end < told
    late = submit({"late": ("true",)}, requirements=mine, walltime_s=600)
    wait_until((by_hand.directory / "outcome.json").exists, "the pilot's end", 90, pause_s=0.5)
    assert time.time() < min(end + 30, told)
    assert late.records()["late"].starts == 0, "a job that declares more than the time left was taken"

    token = issuer.token(hub_host, issuer.launcher_account("cedar"), hub.GATEWAY_URL)

    def told_of_end() -> bool:
        found = at("alice", report_of, token, by_hand.name)
        return found is not None and found.code is not None

    wait_until(told_of_end, "the report at the hub", 30, pause_s=0.5)
    report = at("alice", report_of, token, by_hand.name)
    outcome = json.loads((by_hand.directory / "outcome.json").read_text())
    assert (report.code, report.jobs_run) == (outcome["code"], 2) == (200, 2)
    runs = {run.job: (run.outcome, run.exit_code) for run in report.runs}
    assert runs == {batch.ids["good"]: (RunEnd.DONE, 0), batch.ids["bad"]: (RunEnd.FAILED, 3)}
    assert report.offered_core_s >= report.used_core_s > 0


def test_a_job_that_is_just_starting_is_back_in_seconds_when_its_pilot_leaves(
    site: Callable[[str], Site], submit: Callable[..., Batch], queue_says: Callable[[str, str], str]
) -> None:
    places = [site(name) for name in ("alder", "birch")]
    for place in places:
        place.wait_for_pilots()

    def lose(place: Site) -> float:
        """Take the centre's pilots away as soon as the queue says that a job runs; seconds until it is back."""
        batch = submit({"job": LONG}, centre=place.name)
        job = batch.ids["job"]
        wait_until(lambda: queue_says(job, "JobStatus") == "2", "the job's start", 120)
        signal = ["scancel", "--signal=TERM", *place.batch_jobs()]
        place.login.run(signal, check=False)  # a pilot without work may have left meanwhile
        asked = time.monotonic()
        wait_until(
            lambda: queue_says(job, "JobStatus") != "2" or int(queue_says(job, "NumShadowStarts")) > 1,
            f"the job back in the queue from {place.name}",
            BACK_S,
        )
        return time.monotonic() - asked

    with ThreadPoolExecutor() as pool:
        took = list(pool.map(lose, places))
    print("back in the queue after " + ", ".join(f"{one:.1f} s" for one in took))


def test_a_warning_to_all_processes_of_a_pilot_does_not_hit_its_payload(
    site: Callable[[str], Site], submit: Callable[..., Batch]
) -> None:
    birch = site("birch")
    birch.wait_for_pilots()
    batch = submit({"job": ("sleep", "15")}, centre="birch")
    batch.wait_running()
    pilot = batch.records()["job"].pilot
    called = PilotFiles.job_name(str(pilot))
    [native] = [native for native, name in birch.batch_jobs().items() if name == called]
    birch.login.run(["scancel", "--signal=USR1", native])
    record = batch.wait_done()["job"]
    assert (record.exit_code, record.starts, record.pilot) == (0, 1, pilot)
