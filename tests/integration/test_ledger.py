"""The ledger on the real pool: jobs of several centres, every kind of end, parts of the hub killed in the middle."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.pilots.sites import Site

from fallow.client import connect
from fallow.ledger.messages import Balance, Key, Line, Reconciliation
from fallow.ledger.monthly import MonthReport
from fallow.queue.hub import open_queue
from fallow.queue.spec import JobSpec
from fallow_testbed import centre, hub
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

LATEST = 10_000_000_000
RUN = f"ledger-{os.getpid()}"
EPOCHS = "/var/lib/fallow/spool/epoch_history"
FORMER = f"{EPOCHS}.20200101T000000"
HEARD_AGAIN = "NumShadowStarts > 1 && LastJobLeaseRenewal > ShadowBday"
"""What holds for a job once its second shadow has heard from its pilot."""

JOBS: dict[str, dict[str, dict[str, Any]]] = {
    "alice": {
        "done": {"argv": ("sleep", "12"), "centre": "birch"},
        "failed": {"argv": ("false",), "centre": "birch"},
        "home": {"argv": ("sleep", "2"), "centre": "alder"},
        "evicted": {"argv": ("sleep", "300"), "centre": "cedar"},
    },
    "bob": {
        "removed": {"argv": ("sleep", "300"), "centre": "alder"},
        "withdrawn": {"argv": ("sleep", "300"), "centre": "alder"},
    },
}
"""Jobs by person, each named after how its first run shall end; `home` runs at its own centre."""


@dataclass
class Story:
    """What the ledger says after all of it has happened."""

    lines: dict[str, Line]
    """The first run of each job, by the job's name."""
    balances: list[Balance]
    agreed: Reconciliation
    before_replay: list[Line]
    after_replay: list[Line]


def submitted(specs: dict[str, dict[str, Any]], image: str, directory: Path) -> dict[str, str]:
    """Submit jobs; name → id. Called at the desk."""
    usual = {
        "run": RUN,
        "image": image,
        "directory": directory,
        "memory_mb": 256,
        "disk_mb": 256,
        "walltime_s": 600,
    }
    jobs = [JobSpec(**{**usual, "key": name, "name": name, **spec}) for name, spec in specs.items()]
    return dict(zip(specs, open_queue(connect()).submit(jobs), strict=True))


def removed(ids: list[str]) -> None:
    """Remove jobs. Called at the desk."""
    open_queue(connect()).remove(ids=ids)


def told() -> list[Line]:
    """All lines of the person's centre. Called at the desk."""
    return [line for _, line in connect().ledger_lines(0, LATEST)]


def reported(months: list[str]) -> list[MonthReport]:
    """Alder's reports, twice. Called at the desk."""
    return [connect().month_report("alder", month) for month in (*months, *months)]


def balances() -> list[Balance]:
    """Called at the desk."""
    return connect().balances().balances


def reconciled(since: int) -> Reconciliation:
    """Called at the desk."""
    return connect().reconciliation(since, LATEST)


def kill(host: Host, program: str) -> None:
    """Kill a program of the hub without warning."""
    script = 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline 2>/dev/null | grep -q "$0" && echo ${p#/proc/}; done'
    found = host.run(["sh", "-c", script, program], check=False).stdout.split()
    for pid in found:
        host.run(["kill", f"-{signal.SIGKILL.value}", pid], check=False)


@pytest.fixture(scope="module")
def story(
    bed: Testbed,
    at: Callable[..., Any],
    image: str,
    hub_host: Host,
    operator: Callable[..., CompletedProcess[str]],
    queue_says: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    """Everything that can end a run, while the hub's parts are killed; alder gives again afterwards, however it went."""
    alder = Site("alder", bed.layout())
    alder.fallow("resume")
    try:
        yield _happened(bed, at, image, hub_host, operator, queue_says, tmp_path_factory.mktemp("ledger"))
    finally:
        alder.fallow("resume")
        operator("rm", "-f", FORMER)


def _happened(
    bed: Testbed,
    at: Callable[..., Any],
    image: str,
    hub_host: Host,
    operator: Callable[..., CompletedProcess[str]],
    queue_says: Callable[..., str],
    directory: Path,
) -> Story:
    begun = int(at("alice", _time))
    ids = {person: at(person, submitted, specs, image, directory) for person, specs in JOBS.items()}
    names = {job: name for jobs in ids.values() for name, job in jobs.items()}

    def lines() -> list[Line]:
        found = {line.number: line for person in JOBS for line in at(person, told)}
        return [line for _, line in sorted(found.items()) if line.job in names]

    def first(name: str) -> Line | None:
        return next((line for line in lines() if names[line.job] == name and line.run == 1), None)

    def is_now(*wanted: str, **outcomes: str) -> Callable[[], bool]:
        def met() -> bool:
            found = {names[line.job]: line.outcome for line in lines() if line.run == 1}
            return all(found.get(name) == "running" for name in wanted) and all(
                found.get(name) == outcome for name, outcome in outcomes.items()
            )

        return met

    wait_until(is_now("evicted", "removed", "withdrawn"), "the long jobs' first runs", 180, 0.6)
    # The hub's parts die while jobs run; HTCondor's master starts its daemons again, an operator's supervisor the others.
    kill(hub_host, "hub matcher")
    kill(hub_host, "hub gateway")
    kill(hub_host, "condor_negotiator")
    hub.start_gateway(hub_host)
    at("bob", removed, [ids["bob"]["removed"]])
    evicted = first("evicted")
    assert evicted is not None
    native = bed.host("cedar").run(["squeue", "--noheader", "--format=%i", f"--name=fallow-{evicted.pilot}"])
    bed.host("cedar").run(["scancel", native.stdout.split()[0]])
    kill(hub_host, "condor_schedd")
    hub.start_matcher(hub_host)
    # Where the removed job held the last slot, it runs only now.
    wait_until(is_now(home="done"), "the end of the job at its own centre", 180, 0.6)
    # While the hub has no word from a run's pilot, none of the run's end arrives either.
    job = ids["bob"]["withdrawn"]
    wait_until(
        lambda: queue_says(job, HEARD_AGAIN, check=False) == "true", "the running job's new shadow", 180, 0.5
    )
    Site("alder", bed.layout()).fallow("withdraw", "--now")
    ended = {name: name for jobs in JOBS.values() for name in jobs if name != "home"}
    wait_until(is_now(**ended, home="done"), "every first run's end", 180, 0.6)
    for person, jobs in ids.items():
        at(person, removed, list(jobs.values()))

    # A pilot's last word comes as it ends.
    for name in ("alder", "birch", "cedar"):
        bed.host(name).run(["scancel", "--user", centre.ACCOUNT], check=False)
    wait_until(
        lambda: (
            sum(each.awaited for each in at("alice", reconciled, begun).centres) == 0
            and all(line.outcome != "running" for line in lines())
        ),
        "the pilots' reports",
        120,
        1,
    )
    before = lines()
    operator("sh", "-c", f"cp {EPOCHS} {FORMER} && mv {EPOCHS} {EPOCHS}.20200101T000001")
    wait_until(lambda: _read_whole(operator), "the ledger's look at the copies", 60, 0.5)
    return Story(
        lines={name: line for name in names.values() if (line := first(name)) is not None},
        balances=at("alice", balances),
        agreed=at("alice", reconciled, begun),
        before_replay=before,
        after_replay=lines(),
    )


def _time() -> float:
    import time

    return time.time()


def _read_whole(operator: Callable[..., CompletedProcess[str]]) -> bool:
    """Whether the ledger has read every file of the epoch history to its end."""
    script = """
import json, os, pathlib, sqlite3
read = dict(sqlite3.connect("file:/var/lib/fallow/fallow.sqlite?mode=ro", uri=True).execute(
    "SELECT inode, offset FROM history_position WHERE history = 'epoch_history'"))
files = [path.stat() for path in pathlib.Path("/var/lib/fallow/spool").glob("epoch_history*")]
print(json.dumps(all(read.get(about.st_ino) == about.st_size for about in files)))
"""
    return bool(json.loads(operator("python3", "-c", script).stdout))


@pytest.mark.parametrize(
    ("name", "provider", "consumer"),
    [
        ("done", "birch", "alder"),
        ("failed", "birch", "alder"),
        ("removed", "alder", "birch"),
        ("evicted", "cedar", "alder"),
        ("withdrawn", "alder", "birch"),
    ],
)
def test_each_run_has_its_line(story: Story, name: str, provider: str, consumer: str) -> None:
    line = story.lines[name]
    assert (line.outcome, line.provider, line.consumer) == (name, provider, consumer)
    assert line.pilot.startswith(f"{provider}-")
    assert (line.work_type, line.resource_class, line.cores, line.gpus) == ("analysis", "cpu", 1, 0)
    assert line.wall_s is not None


def test_a_run_is_worth_what_the_provider_held_out_for(story: Story) -> None:
    worth = {name: line.value for name, line in story.lines.items()}
    assert worth["done"] == story.lines["done"].wall_s
    assert worth["done"] >= 12
    assert worth["removed"] == story.lines["removed"].wall_s
    assert (worth["evicted"], worth["withdrawn"], worth["home"]) == (0, 0, 0)


def test_no_run_is_doubled(story: Story) -> None:
    keys = [(line.global_job_id, line.run) for line in story.after_replay]
    assert len(keys) == len(set(keys))
    starts = [(line.job, line.started) for line in story.after_replay]
    assert len(starts) == len(set(starts))


def test_the_balances_add_up_to_nothing(story: Story) -> None:
    cpu = [each.balance for each in story.balances if each.resource_class == "cpu"]
    assert any(abs(balance) > 1 for balance in cpu)
    assert abs(sum(cpu)) < 1e-6


def test_a_copied_and_a_renamed_history_give_nothing_twice(story: Story) -> None:
    assert story.after_replay == story.before_replay


def test_the_hub_and_the_pilots_agree_within_a_thousandth(story: Story) -> None:
    centres = {each.centre: each for each in story.agreed.centres}
    assert set(centres) >= {"alder", "birch"}
    assert centres["birch"].both >= 2
    for each in centres.values():
        assert each.share <= 0.001, story.agreed.differences


def test_a_centre_verifies_the_hubs_lines_by_its_pilots_reports(bed: Testbed, story: Story) -> None:
    environment = {
        "FALLOW_HUB": hub.GATEWAY_URL,
        "FALLOW_CA_FILE": "/home/pilot/ca.pem",
        "BEARER_TOKEN_FILE": "/home/pilot/launcher.token",
    }
    birch = bed.host("birch")
    done = birch.run(
        ["fallow", "ledger", "verify", centre.STATE, "--json"],
        user=centre.ACCOUNT,
        env=environment,
        check=False,
    )
    rows = json.loads(done.stdout)
    assert story.lines["done"].pilot in {row["pilot"] for row in rows}
    assert [row["problems"] for row in rows if row["problems"]] == []
    assert done.returncode == 0


def test_the_ledger_is_told_at_the_command_line(bed: Testbed, at: Callable[..., Any], story: Story) -> None:
    assert story.lines
    usage = at("mona", _used, [Key.CONSUMER, Key.PROVIDER])
    assert usage["alder", "birch"] >= 12


def test_months_add_up_to_the_lines_and_say_the_same_again(at: Callable[..., Any], story: Story) -> None:
    assert story.lines
    lines = [line for line in at("alice", told) if line.ended is not None]
    months = sorted({f"{moment:%Y-%m}" for line in lines for moment in (line.started, line.ended) if moment})
    found = at("alice", reported, months)
    assert found[: len(months)] == found[len(months) :]
    sides: dict[str, tuple[int, Any]] = {}
    for side in ("given", "got", "home"):
        sums = [one for report in found[: len(months)] for one in getattr(report, side)]
        sides[side] = sum(one.runs for one in sums), pytest.approx(sum(one.core_s for one in sums))
    of = {
        "given": [line for line in lines if line.provider == "alder" != line.consumer],
        "got": [line for line in lines if line.consumer == "alder" != line.provider],
        "home": [line for line in lines if line.consumer == "alder" == line.provider],
    }
    assert {side: (len(some), sum(line.core_s for line in some)) for side, some in of.items()} == sides
    assert sum(each.jobs for report in found[: len(months)] for each in report.waits) >= 2


def _used(by: list[Key]) -> dict[tuple[str, ...], float]:
    found = connect().usage(by, 0, LATEST)
    return {tuple(each.group.values()): each.core_s for each in found.sums}
