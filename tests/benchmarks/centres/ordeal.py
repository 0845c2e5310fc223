"""What befalls all centres of a federation at the same time, while jobs run, and what became of these jobs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from tests.benchmarks.centres.tried import Tried
from tests.integration.closed import Centre, kill_connection, kill_proxy, kill_relay, kill_way
from tests.integration.pilots.test_hub_away import start, stop
from tests.integration.pilots.work import STARTS, Batch
from tests.integration.test_ledger import told

from fallow_testbed import network
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

LONG = 3
"""Long jobs of each centre: with two slots on each of two nodes, one of them at least runs on either."""
BEFORE_S = 120
"""What the long jobs compute beside the cut, so that they still do when it comes."""
OVER_S = 600


def endure(bed: Testbed, tried: Sequence[Tried], jobs: int, cut_s: int) -> None:
    """A lost node, killed carriers, a killed hub and a cut network, while `jobs` short jobs of each centre run."""
    script = f'{STARTS} test "${{starts:-0}}" -gt 0 || sleep {cut_s + BEFORE_S}'
    long: dict[str, tuple[str, ...]] = {f"long-{number}": ("sh", "-c", script) for number in range(LONG)}
    short: dict[str, tuple[str, ...]] = {f"short-{number}": ("sleep", "1") for number in range(jobs)}
    own: dict[str, list[Batch]] = {one.kind: [] for one in tried}
    for one in tried:
        if one.takes_work:
            with one.noting():
                own[one.kind].append(one.place.submit(long))
    for one in tried:
        with one.noting():
            for batch in own[one.kind]:
                batch.wait_running(300)
            own[one.kind].append(one.place.submit(short, memory_mb=64))
    began = time.monotonic()
    befall(bed, [one for one in tried if one.takes_work], cut_s)
    for one in tried:
        with one.noting():
            for batch in own[one.kind]:
                batch.wait_done(OVER_S)
            one.seen["ordeal_s"] = round(time.monotonic() - began)
            judge(one, own[one.kind])


def befall(bed: Testbed, tried: Sequence[Tried], cut_s: int) -> None:
    """All of it, one after another."""
    layout = bed.layout()
    lost = [layout.nodes(one.centre.name)[-1] for one in tried]
    for node in lost:
        node.kill()
    for one in tried:
        with one.noting():
            kill_carriers(one.centre)
    stop(layout.hub())
    start(layout.hub())
    for node in lost:
        bed.start_node(node.name)
    cut = [host for one in tried for host in way_out(one.centre)]
    for host in cut:
        network.cut(host)
    time.sleep(cut_s)  # what is tried is a cut of this length
    for host in cut:
        network.mend(host)


def kill_carriers(centre: Centre) -> None:
    """Kill all that carries a centre's connections; whoever keeps it starts it again."""
    declared = centre.declared
    if declared.edge == "proxy":
        kill_proxy(centre)
    if declared.edge == "ssh":
        kill_connection(centre)
    if declared.nodes_reach != "everything":
        kill_relay(centre)
    if centre.profile != "direct":
        kill_way(centre)


def way_out(centre: Centre) -> list[Host]:
    """The hosts without whose network nothing of a centre gets out."""
    if centre.declared.edge != "none":
        return [centre.edge]
    if centre.declared.nodes_reach != "everything":
        return [centre.site.login]
    return centre.bed.layout().centre_hosts(centre.name)


def judge(one: Tried, batches: Sequence[Batch]) -> None:
    """Hold the ledger against the jobs: each has ended well once."""
    jobs = {job for batch in batches for job in batch.ids.values()}
    ends: Counter[str] = Counter()
    done: Counter[str] = Counter()

    def settled() -> bool:
        lines = [line for line in one.centre.at(one.place.person, told) if line.job in jobs]
        ends.clear()
        ends.update(line.outcome for line in lines)
        done.clear()
        done.update(line.job for line in lines if line.outcome == "done")
        return len(done) == len(jobs) and not ends["running"]

    wait_until(settled, f"the ledger's lines of {one.kind}", 120, 0.5)
    one.seen |= {"jobs": len(jobs), "done": len(done), "twice": ends["done"] - len(done), "ends": dict(ends)}
    one.expect(ends["done"] == len(jobs), f"{len(jobs)} jobs ended well {ends['done']} times")
