"""One explanation in a large federation: 50 centres with three shapes each, 10,000 waiting jobs, 1,000 pilots.

Usage: python -m tests.benchmarks.bench_explain

Measured is all that the hub does after queue and collector have answered: the ads as they come from there are read, held
against every offer, ordered, and the answer is made in a process of its own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.benchmarks.outcome import conditions, spread, tell

from fallow.offers import Condition, Offer, Shape
from fallow.queue.session import bindings
from fallow.rules import default_text, digest_of, parse_rules
from fallow_matcher.explain.explanation import explain
from fallow_matcher.explain.fence import Fence
from fallow_matcher.explain.order import waiter
from fallow_matcher.explain.situation import Situation
from fallow_matcher.ledger import Standing
from fallow_matcher.rules import InForce

TITLE = "One explanation among 10,000 waiting jobs"
CENTRES, WAITING, PILOTS, ROUNDS = 50, 10_000, 1_000, 10
WORK_TYPES = ("urgent", "production", "analysis", "test")
REQUIREMENTS = (
    '(TARGET.Arch == "X86_64") && TARGET.HasContainer && TARGET.HasSIF && '
    '(versionGE(split(TARGET.CondorVersion)[1],"25.12.0") || (TARGET.Disk >= RequestDisk)) && '
    "(TARGET.Memory >= RequestMemory) && (TARGET.Cpus >= RequestCpus) && (TARGET.HasFileTransfer)"
)


def job(number: int, now: float) -> Any:
    """A waiting job's ad."""
    import classad2

    ad = classad2.ClassAd({
        "ClusterId": 1 + number, "ProcId": 0, "JobStatus": 1, "JobUniverse": 5, "FallowName": f"job {number}",
        "ContainerImage": f"/fallow/images/sha256-{'a' * 64}.sif", "FallowWalltime": 600 * (1 + number % 10),
        "FallowWorkType": WORK_TYPES[number % 4], "FallowUserCentre": f"centre{number % CENTRES}",
        "RequestCpus": 1 + number % 8, "RequestMemory": 1024 * (1 + number % 16), "RequestDisk": 1024,
        "QDate": int(now) - number, "LastHoldReasonCode": 16, "AutoClusterId": number % 100,
    })  # fmt: skip
    ad["Requirements"] = classad2.ExprTree(REQUIREMENTS)
    return ad


def offers(now: float) -> list[Offer]:
    """Three shapes and two conditions for each centre; the last ones refuse the job."""
    begin = datetime.fromtimestamp(now, UTC)
    night = Condition(sentence="Only short jobs.", requirement="((TARGET.FallowWalltime <= 3600) =?= true)")
    return [
        Offer(
            centre=f"centre{number}",
            shapes=[
                Shape(cores=cores, memory_mb=2048 * cores, disk_mb=0, count=4, walltime_s=7200)
                for cores in (2, 8, 64)
            ],
            starts=begin,
            expires=begin + timedelta(minutes=5),
            conditions=[
                night,
                Condition(
                    sentence=f"No jobs of users from centre{number - 20}.",
                    requirement=f'!(TARGET.FallowUserCentre =?= "centre{number - 20}")',
                ),
            ],
        )
        for number in range(CENTRES)
    ]


def slot(number: int, now: float) -> dict[str, Any]:
    """A busy pilot's slot."""
    return {
        "FallowCentre": f"centre{number % CENTRES}", "FallowPilot": f"centre{number % CENTRES}-{number}",
        "FallowUntil": now + 3600, "Cpus": 0, "Memory": 0, "Disk": 10**6, "TotalSlotCpus": 8,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    about = conditions()
    bindings()
    import classad2

    now = time.time()
    text = default_text()
    rules = InForce(parse_rules(text), digest_of(text), 1, datetime.fromtimestamp(now, UTC))
    ads = [job(number, now) for number in range(WAITING)]
    given = {
        (f"centre{number}", "cpu"): Standing(1000.0 * number, 5000.0, 1000.0) for number in range(CENTRES)
    }
    slots = [slot(number, now) for number in range(PILOTS)]
    fence = Fence()

    def situation() -> Situation:
        return Situation(
            now=now,
            job=ads[WAITING // 2],
            rules=rules,
            offers=offers(now),
            centres=[f"centre{number}" for number in range(CENTRES)],
            slots=slots,
            whole=[classad2.ClassAd(each) for each in slots[:CENTRES]],
            waiters=[waiter(ad) for ad in ads],
            standings=given,
        )

    found = fence.explain(situation())
    fitting = sum(verdict.fits for verdict in found.verdicts)
    print(f"{fitting} of {len(found.verdicts)} offers fit; {found.summary}")
    seconds: dict[str, list[float]] = {"in process": [], "behind the fence": []}
    for label, call in zip(seconds, (explain, fence.explain), strict=True):
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            call(situation())
            seconds[label].append(time.perf_counter() - begun)
    tell("explain", TITLE, about, {"seconds": seconds}, table)


def table(figures: dict[str, Any]) -> list[dict[str, str]]:
    """What people look at."""
    rows = []
    for label, times in figures["seconds"].items():
        seen = spread(times)
        shown = {name: f"{seen[name]:.2f} s" for name in ("median", "least", "most")}
        rows.append({"one explanation": label, **shown})
    return rows


if __name__ == "__main__":
    main()
