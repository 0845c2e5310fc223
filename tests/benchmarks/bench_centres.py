"""Each kind of centre that lacks something, tried in a federation that is so, beside an open centre.

Usage: python -m tests.benchmarks.bench_centres [--kind KIND …] [--at-once N] [--cut SECONDS]
           [--jobs N] [--timed N] [--chain N] [--keep]

Every centre has two nodes with two slots each, a person of its own, and all are on the same cores of one machine. In each
federation: the demo's workflow, each person's pinned to the centre, all at the same time, whose variants have to be those of
a local run; a payload of another centre's person that searches for tokens and for secrets planted on login host and nodes;
then 100 short and three long jobs of each centre, while one node of each loses its power and comes back, all that carries a
centre's connections is killed (relay, proxy, ssh connection, the process that carries on the node), the hub's daemons are
killed and started, and what gets out of each centre is cut off for two minutes. By the ledger each job has to end well once:
runs that were lost on the way are counted beside. At last, one centre after another, the others withdrawn: 100 no-op
container jobs at once, and a chain of ten, on the two slots of the one pilot that a launcher sends first after a node was
lost. Where nobody may make user namespaces pilots refuse all payloads, and say so; the
person's jobs run at the open centre. In brackets stands the open centre of the same federation; with `--keep` the kinds of
earlier calls stay in the table, beside theirs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.centres import tried as trying
from tests.benchmarks.centres.kinds import LACKS, declaration, lacks
from tests.benchmarks.centres.ordeal import endure
from tests.benchmarks.centres.timed import fallow
from tests.benchmarks.centres.tried import Tried
from tests.benchmarks.outcome import conditions, kept, spread, tell
from tests.integration.closed import Centre, federation

from fallow.errors import FallowError
from fallow_testbed.images import testbed_layers

TITLE = "Awkward centres beside an open one"
OPEN = "open"
EACH = {
    "nodes": 2,
    "cores": 3,
    "memory_mb": 9000,
    "pilots.max_pilots": 2,
    "pilots.cores": 2,
    "pilots.memory_mb": 8192,
    "pilots.idle_exit_s": 1800,
}
"""A pilot has a node for itself, and a quarter of its memory where files lie in memory."""
TOGETHER = ("shared-fs-only+no-fuse", "ssh-only+diskless", "proxy-only+no-userns")


def try_kinds(
    kinds: Sequence[str], expected: list[str], folder: Path, asked: argparse.Namespace
) -> list[Tried]:
    """A federation of an open centre and one of each kind."""
    named = {OPEN: OPEN, **{f"closed{number}": kind for number, kind in enumerate(kinds, 1)}}
    people = {f"{name}er": name for name in named}
    text = declaration({name: {**EACH, **lacks(kind)} for name, kind in named.items()}, people)
    pairs = ((name, person) for person, name in people.items())
    with federation(folder, testbed_layers(), text, *pairs) as centres:
        tried = [_tried(named[centre.name], centre) for centre in centres]
        joined = []
        for one in tried:
            with one.noting():
                trying.join(one)
                joined.append(one)
        for one in joined:
            with one.noting():
                trying.read_repository(one)
                stranger = centres[1 if one.kind == OPEN else 0].person
                trying.search(one, stranger, folder / f"search-{one.centre.name}")
        say(tried)
        trying.run_demos(joined, expected, folder)
        say(tried)
        endure(centres[0].bed, joined, asked.jobs, asked.cut)
        say(tried)
        measure(joined, folder, asked.timed, asked.chain)
        say(tried)
    return tried


def _tried(kind: str, centre: Centre) -> Tried:
    found = Tried(kind, centre, centre)
    if not found.takes_work:
        found.place = Centre(centre.bed, centre.image, OPEN, centre.person)
    return found


def say(tried: Sequence[Tried]) -> None:
    """What is known so far, for who looks on."""
    for one in tried:
        print(time.strftime("%H:%M:%S"), one.kind, one.seen, one.wrong, file=sys.stderr, flush=True)


def measure(tried: Sequence[Tried], folder: Path, jobs: int, chain: int) -> None:
    """Jobs per second and seconds of single jobs at each centre, while the others are withdrawn."""
    for one in tried:
        one.centre.site.fallow("withdraw", "--now")
    for one in tried:
        if not one.takes_work:
            continue
        system = fallow(one.centre, folder)
        with one.noting():
            try:
                system.start()
                one.seen["rate"] = jobs / system.batch(jobs)
                one.seen["one_s"] = [system.batch(1) for _ in range(chain)]
            finally:
                system.stop()


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    return [_row(kind, found) for kind, found in figures["kinds"].items()]


def _row(kind: str, found: dict[str, Any]) -> dict[str, str]:
    seen, beside = found["seen"], found["beside"]
    lost = sum(count for end, count in seen.get("ends", {}).items() if end != "done")
    demo = f"{seen['demo_jobs']} jobs, {seen['variants']} variants" if "variants" in seen else ""
    return {
        "kind": kind,
        "profile": seen.get("profile", ""),
        "demo": f"{demo}, at the open centre" if seen.get("refuses") else demo,
        "jobs": f"{seen['done']} of {seen['jobs']} once" if "jobs" in seen else "",
        "runs lost on the way": str(lost) if "ends" in seen else "",
        "secrets found": str(len(seen["secrets"])) if "secrets" in seen else "",
        "jobs/s (open)": f"{_rate(seen)} ({_rate(beside)})" if "rate" in seen else "",
        "one job (open)": f"{_one(seen)} ({_one(beside)})" if "one_s" in seen else "",
        "its pilots say": " ".join(seen.get("told", [])),
        "wrong": "; ".join(found["wrong"]).replace("\n", " ").replace("|", "/")[:300] or "nothing",
    }


def _rate(seen: dict[str, Any]) -> str:
    return f"{seen['rate']:.1f}" if "rate" in seen else "?"


def _one(seen: dict[str, Any]) -> str:
    return f"{spread(seen['one_s'])['median']:.2f} s" if "one_s" in seen else "?"


def main() -> int:
    """Try and show; 1 where something is wrong."""
    usual = [kind for kind in LACKS if kind != OPEN] + list(TOGETHER)
    parser = argparse.ArgumentParser(description="Each kind of centre, tried beside an open one.")
    parser.add_argument("--kind", nargs="+", default=usual, help="several together: ssh-only+no-fuse")
    parser.add_argument("--at-once", type=int, default=1, help="kinds in one federation")
    parser.add_argument("--cut", type=int, default=120, help="how long the network is cut, in seconds")
    parser.add_argument("--jobs", type=int, default=100, help="short jobs during the faults")
    parser.add_argument("--timed", type=int, default=100, help="how many at once, to see how many a second")
    parser.add_argument("--chain", type=int, default=10, help="how many one after another")
    parser.add_argument("--keep", action="store_true", help="other kinds of the last run stay in its outcome")
    asked = parser.parse_args()
    for kind in asked.kind:
        lacks(kind)
    about = conditions()
    found = kept("centres", about).get("kinds", {}) if asked.keep else {}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        expected = trying.expected_variants(here / "local")
        for first in range(0, len(asked.kind), asked.at_once):
            kinds = asked.kind[first : first + asked.at_once]
            load = round(os.getloadavg()[0], 1)
            own = here / str(first)
            own.mkdir()
            try:
                tried = try_kinds(kinds, expected, own, asked)
                beside = tried[0].seen
                for one in tried:
                    found[one.kind] = {"seen": one.seen, "beside": beside, "wrong": one.wrong, "load": load}
            except (FallowError, AssertionError) as error:
                failed = {"seen": {}, "beside": {}, "wrong": [str(error)], "load": load}
                found |= dict.fromkeys(kinds, failed)
            figures = {"cut_s": asked.cut, "jobs": asked.jobs, "kinds": found}
            tell("centres", TITLE, about, figures, table)
    return int(any(one["wrong"] for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
