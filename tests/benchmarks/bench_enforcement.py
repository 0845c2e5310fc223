"""Two ways to have HTCondor go by the policy, on a real pool of six slots: the negotiator, and direct attach.

Direct attach (`STARTD_DIRECT_ATTACH_*`) is set up by hand here: pilots get a token with rights that Fallow gives to none,
and the submitter that each slot is offered to is named from the matcher's last decision every two seconds.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.outcome import as_rows, conditions, tell
from tests.integration.conftest import inside, published
from tests.integration.matching.conftest import DECLARATION
from tests.integration.matching.pool import HISTORY, PROVIDER, Job, Pool

from fallow.errors import NotAvailableError
from fallow_testbed import hub, people
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

TITLE = "Two ways to have HTCondor go by the policy"
NODE = f"{PROVIDER}-1"
CONFIG = "/etc/fallow/condor/condor_config"
WIDER = """
NEGOTIATOR_SLOT_CONSTRAINT = False
SCHEDD.ALLOW_DAEMON = $(FALLOW_PILOTS), $(FALLOW_HUB)
SCHEDD.ALLOW_ADVERTISE_STARTD = $(FALLOW_PILOTS), $(FALLOW_HUB)
SCHEDD.ALLOW_WRITE = $(FALLOW_HUB), $(FALLOW_USERS), $(FALLOW_PILOTS), execute-side@matchsession
SCHEDD.ALLOW_READ = $(FALLOW_HUB), $(FALLOW_USERS), $(FALLOW_PILOTS), execute-side@matchsession
"""
MINT = f"""
import time
from pathlib import Path
from fallow_matcher.htcondor.idtokens import Mint
now = int(time.time())
rights = ("READ", "WRITE", "DAEMON", "ADVERTISE_STARTD", "ADVERTISE_MASTER")
mint = Mint("fallow.test", Path("/var/lib/fallow/keys"))
print(mint.mint("pilot-{PROVIDER}", "pilot-{PROVIDER}@fallow.test", rights, now=now, expires=now + 3600).token)
"""
EACH = """
for folder in /scratch/fallow-*/"$1"; do
  for file in "$folder"/$2; do printf '%s\\n' "$0" >"$file"; done
done
for process in $(pgrep -x condor_startd); do kill -HUP "$process"; done
"""


def on_pilots(pool: Pool, text: str, folder: str, name: str) -> None:
    """Write a file of every pilot and have its startd read it."""
    pool.bed.host(NODE).run(["sh", "-c", EACH, text, folder, name], check=False)


@contextmanager
def directly(pool: Pool, runs: list[str]) -> Iterator[None]:
    """Direct attach in place of the negotiator; the submitter of the `runs` follows the matcher's decision."""
    config = pool.hub.files / CONFIG.lstrip("/")
    config.write_text(config.read_text() + WIDER)
    pool.operator("condor_reconfig")
    token = pool.hub.run(["/opt/fallow/bin/python", "-c", MINT], user=hub.ACCOUNT).stdout.strip()
    on_pilots(pool, token, "tokens", "*")
    on_pilots(pool, "UPDATE_INTERVAL = 1", "config.d", "50-attach")
    # A startd offers its slots as it updates the collector, and reads how often it does that at its start only.
    pool.bed.host(NODE).run(["pkill", "-KILL", "-x", "condor_startd"])
    before = time.time()
    wait_until(lambda: updated(pool, before), "the slots' return", 60, pause_s=1)
    stop = threading.Event()
    named = [""]

    def name() -> None:
        while not stop.wait(2):
            waiting = {job.owner for job in pool.jobs([*runs]) if job.started is None} if runs else set()
            places = sorted(pool.places().items(), key=lambda entry: (entry[0][0] != PROVIDER, entry[1]))
            groups = [
                centre
                for (centre, _), _ in places
                if any(owner.startswith(f"{centre}.") for owner in waiting)
            ]
            if not groups:
                continue
            user = next(owner for owner in sorted(waiting) if owner.startswith(f"{groups[0]}."))
            submitter = (
                f"{groups[0]}.analysis.{user.partition('.')[2]}"  # without the domain, else nothing starts
            )
            if submitter != named[0]:
                named[0] = submitter
                on_pilots(pool, attachment(submitter), "config.d", "50-attach")

    thread = threading.Thread(target=name)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


UNFINISHED = "had not ended after 60 s"


def finished(pool: Pool, *runs: str) -> tuple[list[Job], bool]:
    """The jobs of some runs when all have ended, or after a minute; whether they had."""
    try:
        return pool.ended(*runs, deadline_s=60), True
    except NotAvailableError:
        return pool.jobs(runs), False


def attachment(submitter: str) -> str:
    """The configuration of a pilot that offers its slots to one submitter every second."""
    values = {
        "STARTD_DIRECT_ATTACH_SCHEDD_NAME": hub.QUEUE,
        "STARTD_DIRECT_ATTACH_INTERVAL": "1",
        "STARTD_DIRECT_ATTACH_SUBMITTER_NAME": submitter,
        "UPDATE_INTERVAL": "1",
    }
    return "\n".join(f"{key} = {value}" for key, value in values.items())


def updated(pool: Pool, since: float) -> bool:
    """Whether all slots of the provider were heard of twenty seconds and more after a moment."""
    constraint = f'FallowCentre == "{PROVIDER}" && PartitionableSlot && LastHeardFrom > {int(since) + 20}'
    return len(pool.operator("condor_status", "-af", "Name", "-constraint", constraint).split()) >= 3


def timed(call: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def started(pool: Pool, run: str) -> bool:
    return all(job.started for job in pool.jobs([run]))


def figures(pool: Pool, way: str, runs: list[str]) -> dict[str, str]:
    """What is measured of one way; names each run in `runs` before it is submitted."""

    def submit(person: str, what: str, count: int, seconds: float = 2) -> str:
        runs.append(f"{way} {what}")
        pool.submit(person, runs[-1], count, seconds=seconds)
        return runs[-1]

    found = {}
    waits = []
    for number in range(5):
        run = submit("alice", f"latency {number}", 1, 0)
        waits.append(timed(lambda: wait_until(lambda: started(pool, run), "a start", 60)))  # noqa: B023
        pool.ended(run)
        time.sleep(1)
    found["one job on a free slot of its own centre, submission to start, median"] = f"{median(waits):.1f} s"
    for what, person in (("home", "alice"), ("strangers", "bob")):
        jobs, all_ended = finished(pool, submit(person, what, 30, 0))
        spans = [job.started for job in jobs if job.started is not None]
        rate = f"{(len(spans) - 1) / max(1, max(spans) - min(spans)):.1f} jobs/s" if all_ended else UNFINISHED
        found[f"30 jobs that do nothing, of {what}"] = rate
    jobs, all_ended = finished(pool, submit("mona", "rider", 10), submit("bob", "giver", 10))
    jobs = sorted((job for job in jobs if job.started), key=lambda job: job.started or 0)
    came = max((job.submitted for job in jobs), default=0) + 4
    contested = [job for job in jobs if (job.started or 0) >= came][:8]
    ahead = sum(job.owner.startswith("birch") for job in contested)
    found["starts of the centre that comes first, of the first with both waiting"] = (
        f"{ahead} of {len(contested)}"
    )
    for process in pool.matchers():
        pool.hub.run(["kill", "-9", str(process)])
    _, all_ended = finished(pool, submit("dora", "alone", 2))
    found["work of a centre that came while no matcher ran"] = "runs" if all_ended else UNFINISHED
    pool.start_matcher()
    return found


def main() -> None:
    """Measure both ways on one testbed, and show."""
    about = conditions()
    with tempfile.TemporaryDirectory() as scratch:
        bed = Testbed(Path(scratch) / "enforcement")
        bed.up(DECLARATION, testbed_layers(), Progress())
        try:

            def at(person: str, function: Callable[..., Any], *arguments: Any) -> Any:
                return inside(
                    bed.host("desk"), people.environment(bed.layout(), person), function, *arguments
                )

            packed = ensure_sif("analysis")
            at("alice", published, packed.sif, f"sha256:{packed.sha256}")
            pool = Pool(bed, f"sha256:{packed.sha256}", at)
            pool.record(HISTORY)
            pool.warm("warm")
            negotiator = figures(pool, "negotiator", [])
            runs: list[str] = []
            with directly(pool, runs):
                direct = figures(pool, "direct attach", runs)
        finally:
            bed.down()
    rows = [
        {"measured": what, "negotiator": value, "direct attach": direct[what]}
        for what, value in negotiator.items()
    ]
    tell("enforcement", TITLE, about, {"rows": rows}, as_rows)


if __name__ == "__main__":
    main()
