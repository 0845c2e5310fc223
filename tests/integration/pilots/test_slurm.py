"""Slurm as it is: holes before planned jobs, maintenance, and one pilot on several nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import Batch

from fallow_testbed.wait import wait_until


@pytest.fixture(scope="module")
def withdrawn(site: Callable[[str], Site]) -> Iterator[Site]:
    """A centre of two nodes without pilots; its launcher starts none until it is told to resume."""
    found = site("alder")
    found.fallow("withdraw", "--now")
    yield found
    found.fallow("resume")


@pytest.fixture
def alder(withdrawn: Site) -> Iterator[Site]:
    """The same, and left so."""
    yield withdrawn
    withdrawn.login.run(["scancel", "--user=local"])
    withdrawn.login.run(["scontrol", "delete", "reservation=service"], check=False)
    withdrawn.fallow("withdraw", "--now")


@contextmanager
def policy(site: Site, **tables: Mapping[str, object]) -> Iterator[None]:
    """Let other values stand in tables of the policy for a while; the launcher reads them anew."""
    before = site.policy.read_text()
    lines = before.splitlines()
    for table, values in tables.items():
        start = lines.index(f"[{table}]") + 1
        end = next((at for at in range(start, len(lines)) if lines[at].startswith("[")), len(lines))
        kept = [line for line in lines[start:end] if line.split(" = ")[0] not in values]
        lines[start:end] = kept + [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    site.policy.write_text("\n".join(lines) + "\n")
    try:
        yield
    finally:
        site.policy.write_text(before)


def slurm(site: Site, field: str, native_id: str) -> str:
    """What `squeue` says of a job in one field."""
    argv = ["squeue", "--noheader", "--states=all", f"--jobs={native_id}", f"--format={field}"]
    return site.login.run(argv, env={"TZ": "UTC"}).stdout.strip()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def fitting(site: Site) -> dict[str, Any]:
    """The clause about nodes that fit, as `offer` shows it."""
    caps = json.loads(site.fallow("offer", "--json").stdout)["caps"]
    return next(dict(cap) for cap in caps if cap["clause"] == "spare capacity")


def running(site: Site) -> dict[str, Any]:
    """The one pilot that runs."""
    site.wait_for_pilots(deadline_s=120)
    return site.pilots(state="running")[0]


def test_a_pilot_fills_the_hole_before_a_planned_job_and_no_more(alder: Site) -> None:
    alder.local("--exclusive", "--nodelist=alder-1", "--time=20")
    planned = alder.local("--exclusive", "--nodes=2", "--time=10")
    wait_until(lambda: "planned" in states(alder), "Slurm's plan for the waiting job", 60, pause_s=0.5)
    start = moment(slurm(alder, "%S", planned))

    with policy(alder, when={"only_backfill": True}, pilot={"walltime_s": 7200, "min_walltime_s": 3600}):
        assert fitting(alder)["allows"] == 0, "an hour does not fit into twenty minutes"

    hole = {"walltime_s": 300, "min_walltime_s": 120}
    with policy(alder, when={"only_backfill": True}, pilot=hole, limits={"max_pilots": 1}):
        alder.fallow("resume")
        pilot = running(alder)
        assert pilot["node"] == "alder-2"
        assert moment(slurm(alder, "%e", pilot["native_id"])) < start
        assert abs((moment(slurm(alder, "%S", planned)) - start).total_seconds()) < 60, "it is not delayed"


def states(site: Site) -> list[str]:
    """The states of the nodes."""
    return site.login.run(["sinfo", "--noheader", "--Node", "--format=%T"]).stdout.split()


def test_no_pilot_runs_into_maintenance(alder: Site) -> None:
    reservation = (
        "ReservationName=service StartTime=now+10minutes Duration=60 Flags=MAINT Nodes=ALL Users=root"
    )
    alder.login.run(["scontrol", "create", "reservation", *reservation.split()])
    shown = alder.login.run(["scontrol", "--oneliner", "show", "reservation"], env={"TZ": "UTC"}).stdout
    start = moment(dict(word.partition("=")[::2] for word in shown.split())["StartTime"])

    with policy(alder, pilot={"min_walltime_s": 1800}):
        assert fitting(alder)["allows"] == 0, "half an hour does not fit into ten minutes"

    with policy(alder, pilot={"min_walltime_s": 120}, limits={"max_pilots": 1}):
        alder.fallow("resume")
        assert moment(slurm(alder, "%e", running(alder)["native_id"])) <= start


def test_one_pilot_on_two_nodes_runs_jobs_on_both(alder: Site, submit: Callable[..., Batch]) -> None:
    with policy(alder, pilot={"nodes": 2}, limits={"max_pilots": 1}):
        alder.fallow("resume")
        pilot = running(alder)
        assert slurm(alder, "%D", pilot["native_id"]) == "2"
        batch = submit({"one": ("sleep", "10"), "two": ("sleep", "10")}, cores=2, centre="alder")
        batch.wait_running(120)
        done = batch.wait_done(120)
    assert {job.pilot for job in done.values()} == {f"{pilot['pilot']}n0", f"{pilot['pilot']}n1"}
