"""A pool of four centres whose ledger has a history, and what the tests do with it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallow.client import connect
from fallow.queue.hub import open_queue
from fallow.queue.spec import JobSpec
from fallow_testbed import hub
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

PROVIDER = "alder"
SLOTS = 6
"""Of one core each, at the provider."""
WALLTIME_S = 60

HISTORY = [
    # provider, consumer, core-seconds: cedar rides, giving a tenth of what it takes.
    ("alder", "cedar", 1e6),
    ("birch", "cedar", 1e6),
    ("cedar", "alder", 1e5),
    ("cedar", "birch", 1e5),
]

RECORD = """
import json, sys, time
from pathlib import Path
from fallow_matcher.database import open_database, writing
from fallow_matcher.ledger.ingest import record
from fallow_matcher.ledger.run import Outcome, Run
from fallow_matcher.rules import in_force
from fallow_matcher.settings import read

engine = open_database(read(Path("/etc/fallow/hub.toml")).database_url)
now = time.time()
runs = [
    Run(f"past#{number}.0#1", 1, f"{number}.0", provider, f"{provider}-0", consumer, "past", "analysis", "cpu", 100, 0, 1.0,
        int(value / 100), now - 2 * value, now - value / 100 - 60, now - 60, value / 100, None, Outcome.DONE, "")
    for number, (provider, consumer, value) in enumerate(json.loads(sys.argv[1]), start=1)
]
with writing(engine) as connection:
    record(connection, runs, in_force(engine).rules, now)
"""


@dataclass(frozen=True)
class Job:
    """What the queue says of one job."""

    id: str
    owner: str
    key: str
    submitted: float
    matched: float | None
    """When it was matched to the slot that it ran on, or started on a slot that its owner held already."""
    started: float | None
    slot: str
    done: bool


@dataclass(frozen=True)
class Pool:
    """The running federation."""

    bed: Testbed
    image: str
    at: Callable[..., Any]

    @property
    def hub(self) -> Host:
        """The hub."""
        return self.bed.host("hub")

    def operator(self, *argv: str, check: bool = True) -> str:
        """Run a command as the hub's account."""
        return self.hub.run(list(argv), user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT, check=check).stdout

    def submit(
        self, person: str, run: str, count: int, *, work_type: str = "analysis", seconds: float = 2
    ) -> None:
        """Submit jobs of one person that want a slot of the provider."""
        self.at(person, submitted, run, count, work_type, seconds, PROVIDER, self.image)

    def jobs(self, runs: Sequence[str]) -> list[Job]:
        """The jobs of some runs."""
        wanted = " || ".join(f'FallowRun == "{run}"' for run in runs)
        attributes = "ClusterId,ProcId,Owner,FallowKey,QDate,LastMatchTime,JobCurrentStartDate,RemoteHost"
        attributes += ",LastRemoteHost,JobStatus"
        text = self.operator(
            "condor_q", "-name", hub.QUEUE, "-all", "-json", "-attributes", attributes, "-constraint", wanted
        )
        return [
            Job(
                id=f"{ad['ClusterId']}.{ad['ProcId']}",
                owner=ad["Owner"],
                key=ad["FallowKey"],
                submitted=ad["QDate"],
                matched=ad.get("LastMatchTime") or ad.get("JobCurrentStartDate"),
                started=ad.get("JobCurrentStartDate"),
                slot=ad.get("RemoteHost") or ad.get("LastRemoteHost") or "",
                done=ad["JobStatus"] == 4,
            )
            for ad in (json.loads(text) if text.strip() else [])
        ]

    def ended(self, *runs: str, deadline_s: float = 150) -> list[Job]:
        """The jobs of some runs once all have ended, by their match."""
        found: list[Job] = []

        def all_done() -> bool:
            found[:] = self.jobs(runs)
            return bool(found) and all(job.done for job in found)

        wait_until(all_done, f"the jobs of {', '.join(runs)}", deadline_s, pause_s=0.5)
        return sorted(found, key=lambda job: (job.matched or 0, job.started or 0))

    def decision(self) -> Mapping[str, Any]:
        """The matcher's last decision."""
        return json.loads(self.operator("cat", "/var/lib/fallow/matching/decision.json"))  # type: ignore[no-any-return]

    def places(self) -> dict[tuple[str, str], int]:
        """The place of each waiting group."""
        return {(each["centre"], each["work_type"]): each["place"] for each in self.decision()["places"]}

    def warm(self, run: str) -> None:
        """Have every slot of the provider up and free, with the image on its node."""
        self.submit("alice", run, SLOTS, seconds=1)
        self.ended(run)

        def cores() -> int:
            lines = self.operator(
                "condor_status", "-af", "FallowCentre", "TotalSlotCpus", "PartitionableSlot"
            ).split("\n")
            return sum(int(line.split()[1]) for line in lines if line.startswith(PROVIDER) and "true" in line)

        wait_until(lambda: cores() >= SLOTS, f"{SLOTS} slots of {PROVIDER}", 60)

    def record(self, history: Sequence[tuple[str, str, float]]) -> None:
        """Write runs of the past into the ledger."""
        self.hub.run(["/opt/fallow/bin/python", "-c", RECORD, json.dumps(history)], user=hub.ACCOUNT)

    def matchers(self) -> list[int]:
        """The processes of running matchers, as the hub sees them."""
        found = self.hub.run(["pgrep", "-f", "fallow -v hub matcher$"], check=False).stdout
        return [int(line) for line in found.split()]

    def start_matcher(self) -> subprocess.Popen[bytes]:
        """Start one more matcher."""
        return hub.start_matcher(self.hub)


def submitted(run: str, count: int, work_type: str, seconds: float, centre: str | None, image: str) -> None:
    """Submit jobs; called at the desk."""
    open_queue(connect()).submit(
        [
            JobSpec(
                run=run,
                key=str(number),
                name=f"{run}-{number}",
                image=image,
                argv=("sleep", str(seconds)),
                directory=Path("/tmp"),
                memory_mb=256,
                disk_mb=32,
                walltime_s=WALLTIME_S,
                work_type=work_type,
                centre=centre,
            )
            for number in range(count)
        ]
    )


def cancelled(run: str) -> None:
    """Remove the jobs of a run; called at the desk."""
    open_queue(connect()).remove(run=run)
