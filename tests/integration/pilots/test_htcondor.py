"""A centre whose batch system is HTCondor: pilots in its own pool run jobs of the hub's users, and leave when told to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.pilots.work import STARTS

from fallow_testbed import centre, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = """
[centres.elm]
batch = "htcondor"
nodes = 1
cores = 2
pilots = { max_pilots = 1, cores = 2, idle_exit_s = 300 }
[users]
ann = { centre = "elm" }
"""

SUBMIT = """
import sys
from pathlib import Path
from fallow.client import client_settings, connect
from fallow.queue.hub import open_queue
from fallow.queue.images import publish
from fallow.queue.spec import JobSpec
sif, digest, name, command = sys.argv[1:]
settings = client_settings()
publish(connect(settings), Path(sif), digest, ca_file=settings.ca_file)
job = JobSpec(run="elm", key=name, name=name, image=digest, argv=("sh", "-c", command), directory=Path("/tmp"),
              memory_mb=128, disk_mb=64, walltime_s=600)
open_queue(connect()).submit([job])
"""


@dataclass(frozen=True)
class Elm:
    """The centre, its admin, its own user `local`, and a user of the hub."""

    testbed: Testbed

    @property
    def login(self) -> Host:
        """The login host."""
        return self.testbed.host("elm")

    @property
    def desk(self) -> Host:
        """Where the user sits."""
        return self.testbed.host("desk")

    def user(self, *argv: str) -> str:
        """Run a command at the desk as `ann`; what it printed."""
        return self.desk.run(list(argv), env=people.environment(self.testbed.layout(), "ann")).stdout

    def submit(self, name: str, command: str) -> None:
        """Submit a job that runs a shell command."""
        packed = ensure_sif("analysis")
        self.user(sys.executable, "-c", SUBMIT, str(packed.sif), f"sha256:{packed.sha256}", name, command)

    def job(self, name: str) -> dict[str, Any]:
        """What `fallow jobs` says of a job."""
        said = self.user(str(Path(sys.executable).with_name("fallow")), "jobs", "--json")
        return next(row for row in json.loads(said) if row["name"] == name)

    def fallow(self, *argv: str) -> str:
        """`fallow pilot …` as the admin types it."""
        command = ["fallow", "pilot", *argv]
        return self.login.run(command, user=centre.ACCOUNT, env={"FALLOW_POLICY": centre.POLICY}).stdout

    def pilots(self) -> list[dict[str, Any]]:
        """The pilots, the newest first."""
        return list(json.loads(self.fallow("list", "--json")))

    def queue(self) -> list[tuple[str, str, int]]:
        """Owner, batch name and state of all jobs in the centre's own queue."""
        said = self.login.run(
            ["condor_q", "-allusers", "-json", "-attributes", "Owner,JobBatchName,JobStatus"]
        )
        rows = json.loads(said.stdout or "[]")
        return [(row["Owner"], row.get("JobBatchName", ""), row["JobStatus"]) for row in rows]

    def local(self, seconds: int) -> None:
        """Submit a job of one of the centre's own users."""
        described = {
            "executable": "/bin/sleep",
            "arguments": str(seconds),
            "should_transfer_files": "NO",
            "request_cpus": "2",
            "request_memory": "100M",
            "request_disk": "1M",
            "initialdir": "/home/local",
        }
        words = [f"{name}={value}" for name, value in described.items()]
        self.login.run(["condor_submit", "-terse", *words, "/dev/null", "-queue", "1"], user="local")


@pytest.fixture(scope="module")
def elm(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elm]:
    """A federation of this one centre."""
    folder = tmp_path_factory.mktemp("elm")
    declaration = folder / "elm.toml"
    declaration.write_text(DECLARATION)
    testbed = Testbed(folder / "beds" / "elm")
    testbed.up(declaration, layers, Progress())
    yield Elm(testbed)
    testbed.down()


def until(what: str, holds: Callable[[], bool], deadline_s: float = 120) -> None:
    wait_until(holds, what, deadline_s, pause_s=0.5)


def test_a_job_outlives_preemption_by_the_centres_own_user_and_removal_by_its_admin(elm: Elm) -> None:
    elm.submit("long", f'{STARTS} test "${{starts:-0}}" -ge 2 || sleep 600')
    until("the start of the job", lambda: elm.job("long")["state"] == "running")
    first = elm.pilots()[0]
    assert elm.queue() == [("pilot", f"fallow-{first['pilot']}", 2)]

    elm.local(5)
    until("the local job's turn", lambda: elm.queue()[-1:] == [("local", "", 2)] or len(elm.pilots()) > 1)
    until("the pilot's own word", lambda: elm.pilots()[-1]["code"] == 100)
    until("the job's return", lambda: elm.job("long")["state"] == "running" and len(elm.pilots()) > 1)

    second = elm.pilots()[0]
    elm.login.run(["condor_rm", second["native_id"]], user=centre.ACCOUNT)
    until("the end of the removed pilot", lambda: elm.pilots()[-2]["code"] == 100)
    until("the end of the job", lambda: elm.job("long")["state"] == "finished")
    assert elm.job("long")["centre"] == "elm"


def test_withdrawing_drains_the_pilot_and_frees_the_pool(elm: Elm) -> None:
    until("a pilot", lambda: any(row["state"] == "running" for row in elm.pilots()))
    pilot = elm.pilots()[0]["pilot"]
    until("its place in the federation", lambda: "is in the pool" in elm.fallow("log", pilot))
    assert "The capacity is free" in elm.fallow("withdraw", "--deadline", "120")
    assert [row for row in elm.queue() if row[0] == "pilot" and row[2] == 2] == []
    assert f"{pilot}: draining" in elm.fallow("log", pilot), "HTCondor passes no signal for it"
    elm.fallow("resume")
