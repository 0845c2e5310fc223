"""What is looked at for each size of a pool and its queue."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from tests.integration.conftest import inside

from fallow.client import connect
from fallow.messages import SCOPE_USER
from fallow_testbed import hub, people
from fallow_testbed.layout import Layout
from fallow_testbed.wait import wait_until

SCRIPT = Path(__file__).with_name("at_hub.py")
INSIDE = "/opt/at_hub.py"
PARTS = {
    "collector": "condor_collector",
    "negotiator": "condor_negotiator",
    "schedd": "condor_schedd",
    "gateway": "hub gateway",
    "matcher": "hub matcher",
}
"""What is in the command line of each of the hub's parts."""
LIMITS = "[limits]\nper_address_per_minute = 1000000\nper_identity_per_minute = 1000000\n"
LOOKS, THREADS, SECONDS = 5, 4, 1.0


@dataclass
class HubAtWork:
    """The hub of a testbed, as its operator measures it."""

    layout: Layout
    person: str

    def bring(self) -> None:
        """Bring the script to the hub."""
        (self.layout.hub().files / INSIDE.lstrip("/")).write_text(SCRIPT.read_text())

    def hurry(self) -> None:
        """Have the negotiator tell of each cycle, the gateway answer as often as it is asked, and a user have many jobs."""
        host = self.layout.hub()
        with (host.files / hub.SETTINGS.lstrip("/")).open("a") as settings:
            settings.write(LIMITS)
        host.run(["pkill", "-f", PARTS["gateway"]])
        hub.start_gateway(host)
        with (host.files / hub.CONDOR_ENVIRONMENT["CONDOR_CONFIG"].lstrip("/")).open("a") as config:
            config.write("NEGOTIATOR_UPDATE_INTERVAL = 1\nMAX_JOBS_PER_OWNER = 10000000\n")
        host.run(["condor_reconfig"], user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT)

    def record(self, centre: str) -> None:
        """Keep the slot of a pilot as the one that is advertised later."""
        wait_until(lambda: self.ask("record", centre).strip() == "recorded", "a slot to record", 180)

    def ask(self, *words: str) -> str:
        """Run the script."""
        argv = ["/opt/fallow/bin/python", INSIDE, *words]
        return self.layout.hub().run(argv, user=hub.ACCOUNT, timeout_s=600).stdout

    def negotiation(self, slots: int, jobs: int, looks: int = LOOKS) -> dict[str, float]:
        """CPU seconds of a negotiation cycle over so many slots at least and so many waiting jobs, and of its first part:
        that in which the slots are read.
        """
        cycles = json.loads(self.ask("negotiator", str(slots), str(jobs), str(looks)))
        return {
            "negotiation_cpu_s": median(sum(phases) for phases in cycles),
            "reading_cpu_s": median(sum(phases[:2]) for phases in cycles),
        }

    def matcher_s(self) -> float:
        """Seconds of a cycle of the matcher."""
        return float(median(json.loads(self.ask("matcher", str(LOOKS)))))

    def shadow_mb(self) -> float:
        """Memory of one shadow, as many run: what they share is shared out among them."""
        each = "for shadow in $(pgrep -x condor_shadow); do grep ^Pss: /proc/$shadow/smaps_rollup; done"
        lines = self.layout.hub().run(["sh", "-c", each]).stdout.splitlines()
        return median(int(line.split()[1]) / 1024 for line in lines)

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of the hub's parts."""
        lines = self.layout.hub().run(["ps", "-eo", "rss=,args="]).stdout.splitlines()
        held = [(int(line.split()[0]) / 1024, line) for line in lines]
        return {f"{part}_mb": sum(mb for mb, line in held if mark in line) for part, mark in PARTS.items()}

    def requests(self) -> dict[str, float]:
        """How many requests of each kind the gateway answers in a second, four callers at a time."""
        return dict(inside(self.layout.desk(), people.environment(self.layout, self.person), answered))

    def point(self, slots: int, jobs: int) -> dict[str, Any]:
        """All of it."""
        return {
            "slots": slots,
            "jobs": jobs,
            **self.negotiation(slots, jobs),
            "matcher_s": self.matcher_s(),
            **self.requests(),
            **self.memory_mb(),
        }


def answered() -> dict[str, float]:
    """Requests per second, the median of some looks; called at the desk."""
    kinds: dict[str, Callable[[Any], object]] = {
        "offers_per_s": lambda client: client.offers(),
        "tokens_per_s": lambda client: client.exchange(SCOPE_USER),
    }
    return {name: median(rate(call) for _ in range(LOOKS)) for name, call in kinds.items()}


def rate(call: Callable[[Any], object]) -> float:
    """Calls per second of several threads, each with a client of its own."""
    counts = [0] * THREADS
    begun = time.monotonic()

    def work(number: int) -> None:
        client = connect()
        while time.monotonic() - begun < SECONDS:
            call(client)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of a line through the logarithms: what a quantity grows by is `size ** exponent`."""
    return linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values]).slope


def exponents(points: Sequence[Mapping[str, Any]], axis: str, names: Sequence[str]) -> dict[str, float]:
    """The exponent of each quantity along an axis."""
    return {
        name: exponent([point[axis] for point in points], [point[name] for point in points]) for name in names
    }
