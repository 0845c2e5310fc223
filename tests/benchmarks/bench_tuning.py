"""What each HTCondor setting that Fallow chose for latency or throughput is worth: with it, and with HTCondor's own default.

Usage: python -m tests.benchmarks.bench_tuning [--runs N] [--only NAME …] [--keep]

A hub and a pilot with eight slots. For each setting the same is measured as Fallow has it and with the default in its place,
all else as it is: the hub's daemons, or the pilot's, read their configuration anew in between. All jobs are containers that
do nothing, of the pilot's own centre unless they are called strangers'. Medians of five, or of as many as fit into three
minutes where two do not; a wait for a job's second start is cut off after a minute. With `--keep` the settings of an earlier
call stay in the table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.outcome import around, conditions, kept, spread, tell
from tests.benchmarks.short_jobs.federated import Fallow
from tests.benchmarks.short_jobs.system import Place
from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import LONG, removed, status_of, submitted

from fallow.client import connect
from fallow.queue.client import Queue
from fallow.queue.hub import open_queue
from fallow.queue.session import bindings
from fallow_testbed import hub, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif, testbed_layers
from fallow_testbed.layout import Layout
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = Path(__file__).with_name("tuning.toml")
TITLE = "HTCondor's settings: Fallow's choice and the default"
CENTRE, SLOTS = "alder", 8
PAUSE_S, LIMIT_S, SETTLE_S, ENOUGH_S, LEAST = 6, 60, 3, 180, 2
ASK_S = 0.25
"""Between two questions to the hub, which answers 300 of one person in a minute."""
RE_READ = """
for folder in /scratch/fallow-*/config.d; do printf '%s\\n' "$0" >"$folder/60-tuning"; done
for process in $(pgrep -x condor_startd); do kill -HUP "$process"; done
"""


@dataclass(frozen=True)
class Knob:
    """A setting, or some that only work together."""

    default: tuple[str, ...]
    """HTCondor's default, as lines of its configuration."""
    measured: str
    """What shows the difference: a method of `Bench`."""
    why: str
    """What it is for."""
    at_pilot: bool = False


KNOBS = {
    "NEGOTIATOR_CYCLE_DELAY, NEGOTIATOR_MIN_INTERVAL, SCHEDD_MIN_INTERVAL": Knob(
        ("NEGOTIATOR_CYCLE_DELAY = 20", "NEGOTIATOR_MIN_INTERVAL = 5", "SCHEDD_MIN_INTERVAL = 5"),
        "one",
        "a job on an idle pool is matched at once, also soon after the last one",
    ),
    "NEGOTIATOR_INTERVAL": Knob(
        ("NEGOTIATOR_INTERVAL = 60",),
        "strangers",
        "a stranger's claim ends with its job, so a slot waits for the next cycle",
    ),
    "SCHEDD_INTERVAL": Knob(
        ("SCHEDD_INTERVAL = 300",),
        "returned",
        "a job that lost its pilot is told to the negotiator again",
    ),
    "SHADOW.GUIDANCE_KEEP_CALM_AND": Knob(
        ("SHADOW.GUIDANCE_KEEP_CALM_AND = False",),
        "with_input",
        "a starter whose input has arrived starts the job, instead of asking again 5 s later",
    ),
    "KeepClaimIdle, a centre's own jobs": Knob(
        (
            "JOB_TRANSFORM_NAMES = $(JOB_TRANSFORM_NAMES) Apart",
            "JOB_TRANSFORM_Apart @=end",
            "  SET KeepClaimIdle 0",
            "@end",
        ),
        "chain",
        "a slot waits 4 s for the next job of its centre's user, as the next rule of a workflow",
    ),
    "CLAIM_WORKLIFE, a centre's own jobs": Knob(
        ("CLAIM_WORKLIFE = 0",),
        "home",
        "a centre's own user keeps a slot for 30 s of jobs one after another; beside it: no job after the first",
        at_pilot=True,
    ),
    "CLAIM_WORKLIFE, strangers' jobs": Knob(
        ("CLAIM_WORKLIFE = 1200",),
        "strangers",
        "what the policy costs: each stranger's job is matched anew, so that the rules decide about every slot",
        at_pilot=True,
    ),
}
WHAT = {
    "one": "one job, 6 s after the last",
    "chain": "one job, right after the last",
    "with_input": "16 jobs with a file each",
    "strangers": "16 strangers' jobs",
    "home": "48 jobs",
    "returned": "a job loses its slot and runs again",
}


@dataclass
class Bench:
    """The testbed with people who submit; each measurement is in seconds."""

    layout: Layout
    alice: Fallow
    with_file: Fallow
    bob: Fallow

    def one(self, runs: int) -> list[float]:
        """A job on a pool that has been idle for a while."""

        def paused() -> float:
            time.sleep(PAUSE_S)
            return self.alice.batch(1)

        return repeated(paused, runs)

    def chain(self, runs: int) -> list[float]:
        """A job right after another."""
        self.alice.batch(1)
        return repeated(lambda: self.alice.batch(1), runs)

    def with_input(self, runs: int) -> list[float]:
        """Two jobs for each slot, each with a file."""
        return repeated(lambda: self.with_file.batch(2 * SLOTS), runs)

    def strangers(self, runs: int) -> list[float]:
        """Two jobs for each slot."""
        return repeated(lambda: self.bob.batch(2 * SLOTS), runs)

    def home(self, runs: int) -> list[float]:
        """Six jobs for each slot."""
        return repeated(lambda: self.alice.batch(6 * SLOTS), runs)

    def returned(self, runs: int) -> list[float]:
        """From the loss of a job's slot to its second start, which ends at once; as many jobs lose theirs together."""
        run = f"returned-{time.monotonic_ns()}"

        def at(function: Callable[..., Any], *arguments: Any) -> Any:
            environment = people.environment(self.layout, self.alice.person)
            return inside(self.layout.desk(), environment, function, *arguments)

        job = {"name": "job", "image": self.alice.digest, "argv": LONG}
        ids = at(submitted, run, [{**job, "key": str(number)} for number in range(runs)])
        wait_until(
            lambda: all(each.started for each in at(status_of, run).values()), "running jobs", 180, ASK_S
        )
        begun = time.monotonic()
        at(vacated, ids)
        again: dict[str, float] = {}
        while len(again) < runs and time.monotonic() - begun < LIMIT_S:
            found = at(status_of, run)
            again |= {
                key: time.monotonic() - begun
                for key, each in found.items()
                if each.starts > 1 and key not in again
            }
            time.sleep(ASK_S)
        at(removed, run)
        return [*again.values(), *[float(LIMIT_S)] * (runs - len(again))]

    @contextmanager
    def instead(self, knob: Knob) -> Iterator[None]:
        """HTCondor's default in the place of a setting."""
        text = "\n".join(knob.default)
        if knob.at_pilot:
            self._tell_pilot(text)
        else:
            config = self.layout.hub().files / hub.CONDOR_ENVIRONMENT["CONDOR_CONFIG"].lstrip("/")
            before = config.read_text()
            config.write_text(f"{before}{text}\n")
            operator(self.layout.hub(), "condor_reconfig")
        time.sleep(SETTLE_S)
        try:
            yield
        finally:
            if knob.at_pilot:
                self._tell_pilot("")
            else:
                config.write_text(before)
                operator(self.layout.hub(), "condor_reconfig")
            time.sleep(SETTLE_S)

    def _tell_pilot(self, text: str) -> None:
        self.alice.place.node.run(["sh", "-c", RE_READ, text])


def repeated(measured: Callable[[], float], runs: int) -> list[float]:
    """What is measured, as often as told, or as fits into `ENOUGH_S`."""
    end, taken = time.monotonic() + ENOUGH_S, [measured()]
    while len(taken) < runs and (len(taken) < LEAST or time.monotonic() < end):
        taken.append(measured())
    return taken


def vacated(ids: Sequence[str]) -> None:
    """Take away the slots of jobs; called at the desk, as their owner."""
    queue = open_queue(connect())
    assert isinstance(queue, Queue)
    # Fallow itself never does that.
    queue._call("take the slots away", "act", bindings().JobAction.VacateFast, list(ids))


def operator(host: Host, *argv: str) -> None:
    """Run a command of HTCondor as the hub's account."""
    host.run(list(argv), user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT)


def measure(bench: Bench, runs: int, only: list[str] | None) -> dict[str, dict[str, list[float]]]:
    """Seconds by setting, as Fallow sets it and by default."""
    found = {}
    for name, knob in KNOBS.items():
        if only and not any(name.startswith(wanted) for wanted in only):
            continue
        call: Callable[[int], list[float]] = getattr(bench, knob.measured)
        ours = call(runs)
        with bench.instead(knob):
            default = call(runs)
        found[name] = {"ours": ours, "default": default}
        print(f"{name}: {table({name: found[name]})}", file=sys.stderr, flush=True)
    return found


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rows = []
    for name, seconds in figures.items():
        knob = KNOBS[name]
        row = {"setting": f"`{name}`", "what for": knob.why, "measured": WHAT[knob.measured]}
        for who, times in seconds.items():
            seen = spread(times)
            many = ">" if knob.measured == "returned" and seen["median"] >= LIMIT_S else ""
            row[who] = f"{many}{around(seen, '.2f', ' s', 'runs')}"
        rows.append(row)
    return rows


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description="Settings of HTCondor, with and without.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="settings whose names begin so")
    parser.add_argument(
        "--keep", action="store_true", help="other settings of the last run stay in its outcome"
    )
    asked = parser.parse_args()
    about = conditions()
    before = kept("tuning", about) if asked.keep else {}
    packed = ensure_sif("analysis")
    digest = f"sha256:{packed.sha256}"
    with tempfile.TemporaryDirectory() as folder:
        bed = Testbed(Path(folder) / "tuning")
        layout = bed.up(DECLARATION, testbed_layers(), Progress())
        try:
            inside(layout.desk(), people.environment(layout, "alice"), published, packed.sif, digest)
            place = Place(bed.host(CENTRE), bed.host(f"{CENTRE}-1"), layout.home(CENTRE), SLOTS, "local")
            file = Path(folder) / "input"
            file.write_text("a file\n")
            site = Site(CENTRE, layout)
            submitters = [
                Fallow(place, name, Path(folder), site, digest, person, inputs)
                for name, person, inputs in (
                    ("home", "alice", ()),
                    ("file", "alice", (file,)),
                    ("stranger", "bob", ()),
                )
            ]
            for each in submitters:
                each.start()
            found = measure(Bench(layout, *submitters), asked.runs, asked.only)
            for each in submitters:
                each.stop()
        finally:
            bed.down()
    found = {**before, **found}
    tell("tuning", TITLE, about, {name: found[name] for name in KNOBS if name in found}, table)


if __name__ == "__main__":
    main()
