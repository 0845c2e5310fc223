"""A pilot that is cut off while it is given a job: the job goes elsewhere, also where nothing else happens in the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import Batch

from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until


@pytest.fixture
def nodes(bed: Testbed) -> Iterator[list[Host]]:
    """Cedar's; nothing on them is stopped afterwards."""
    layout = bed.layout()
    found = layout.nodes("cedar")
    yield found
    for node in found:
        signal(node, "CONT")


def signal(node: Host, name: str) -> None:
    """Send a signal to HTCondor's daemons of all pilots on a node."""
    node.run(["pkill", f"-{name}", "-x", "condor_master|condor_startd"], check=False)


def test_a_job_whose_pilot_was_lost_while_it_was_claimed_runs_on_the_next(
    site: Callable[[str], Site],
    submit: Callable[..., Batch],
    operator: Callable[..., CompletedProcess[str]],
    nodes: list[Host],
) -> None:
    alder, cedar = site("alder"), site("cedar")
    for place in (alder, cedar):
        place.wait_for_pilots()
    for node in nodes:
        signal(node, "STOP")
    batch = submit({"job": ("true",)}, centre="cedar")
    matched = ["grep", "-q", f" Matched {batch.ids['job']} ", "/var/lib/fallow/log/NegotiatorLog"]
    wait_until(lambda: operator(*matched, check=False).returncode == 0, "a match with a silent pilot", 60)
    # With another job the queue lists what waits, and this one, as it has a slot, is not among that.
    submit({"other": ("true",)}, centre="alder").wait_done()
    for node in nodes:
        signal(node, "KILL")
    batch.wait_done(300)
