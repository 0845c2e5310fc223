"""Slurm as it is: holes before planned jobs, maintenance, and one pilot on several nodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from tests.integration.closed import process_of
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import LONG, STARTS, Batch

from fallow_testbed import centre, edge, files
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

PEOPLE = {"ann": 2101, "ben": 2102}
"""People with an account at the centre, and their user ids."""
STARTED_TWICE = ("sh", "-c", f'{STARTS} test "${{starts:-0}}" -gt 0 || sleep 20')
"""A job that computes for 20 s, but ends at once where it is started again."""
DEPUTY = "/opt/fallow/bin/fallow-pilot-deputy"
POLICY = "/etc/fallow/policy.toml"
LENT = """
[accounts]
become = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "{account}@localhost"]
[[accounts.people]]
account = "ann"
[[accounts.people]]
account = "ben"
"""


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
    return site.wait_for_pilots(deadline_s=120)[0]


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
        batch = submit({"one": LONG, "two": LONG}, cores=2, centre="alder")
        batch.wait_running()
        assert {job.pilot for job in batch.records().values()} == {
            f"{pilot['pilot']}n0",
            f"{pilot['pilot']}n1",
        }
        batch.remove()


@pytest.fixture
def lent(alder: Site, bed: Testbed) -> Iterator[Site]:
    """The same, where one account for each person is wanted: the launcher has an ssh key that leads to their deputies."""
    login, hosts = alder.login, bed.layout().centre_hosts("alder")
    for host in hosts:
        for name, uid in PEOPLE.items():
            host.run(["useradd", "-M", "-U", "-u", str(uid), "-s", "/bin/bash", "-p", "*", name])
    login.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/testbed_key"])
    login.run(["install", "-d", "-m", "0700", "/home/pilot/.ssh"], user=centre.ACCOUNT)
    key = "/home/pilot/.ssh/id_ed25519"
    login.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], user=centre.ACCOUNT)
    public = login.run(["cat", f"{key}.pub"]).stdout
    for name in PEOPLE:
        login.run(
            ["install", "-d", "-m", "0700", "-o", name, "-g", name, f"/home/{name}", f"/home/{name}/.ssh"]
        )
        line = f'restrict,command="{DEPUTY}" {public}'
        files.write(
            login, f"/home/{name}/.ssh/authorized_keys", line, mode=0o600, owner=files.ids(login, name)
        )
    edge.start_sshd(login)
    before = alder.policy.read_text()
    readable = before.replace("/home/pilot/ca.pem", "/home/ca.pem")
    lending = readable.replace("max_pilots = 3", "max_pilots = 2") + LENT
    login.run(["install", "-m", "0644", "/home/pilot/ca.pem", "/home/ca.pem"])
    files.write(login, POLICY, lending)
    alder.policy.write_text(lending)
    yield alder
    alder.fallow("withdraw", "--now")
    alder.policy.write_text(before)
    login.run(["kill", str(process_of(login, "-x", "-o", "sshd"))])
    login.run(["rm", "-r", "/home/ca.pem", POLICY, "/home/pilot/.ssh", *(f"/home/{name}" for name in PEOPLE)])
    login.run(["rm", "/etc/ssh/testbed_key", "/etc/ssh/testbed_key.pub"])
    for host in hosts:
        for name in PEOPLE:
            host.run(["userdel", "--force", name])


def consent(site: Site, person: str, *options: str) -> str:
    """`fallow pilot consent …` as a person types it on the login host."""
    return site.login.run(["fallow", "pilot", "consent", "--policy", POLICY, *options], user=person).stdout


def lenders(site: Site) -> dict[str, dict[str, Any]]:
    """What `accounts` says, by account."""
    return {row["account"]: row for row in json.loads(site.fallow("accounts", "--json").stdout)}


def users(site: Site) -> list[str]:
    """Whose pilots run, by Slurm's word."""
    return sorted(site.login.run(["squeue", "-h", "-p", "spare", "-t", "R", "-o", "%u"]).stdout.split())


def test_pilots_run_under_the_account_of_each_person_who_consents_until_it_is_revoked(
    lent: Site, submit: Callable[..., Batch]
) -> None:
    assert lenders(lent)["ann"]["takes_no_more"] == "ann has not consented: `fallow pilot consent`."
    assert "may run under your account ann" in consent(lent, "ann")
    consent(lent, "ben")
    lent.fallow("resume")
    lent.wait_for_pilots(2)
    assert users(lent) == ["ann", "ben"], "two at most, whoever they belong to"
    assert lenders(lent)["ann"]["takes_no_more"] is None

    tokens = [f"/home/{name}/.local/state/fallow/alder/token" for name in PEOPLE]
    said = [lent.login.run(["cat", path]).stdout for path in tokens]
    assert said[0] != said[1]
    for path, strangers in zip(tokens, (("ben", "pilot"), ("ann", "pilot")), strict=True):
        for stranger in strangers:
            assert lent.login.run(["cat", path], user=stranger, check=False).returncode != 0
    shell = ["ssh", "-o", "BatchMode=yes", "ann@localhost", "cat", tokens[0]]
    assert "does not understand" in lent.login.run(shell, user=centre.ACCOUNT, stdin="").stdout

    batch = submit({"one": STARTED_TWICE, "two": STARTED_TWICE}, cores=2, centre="alder")
    batch.wait_running(120)
    assert "asked to leave now" in consent(lent, "ann", "--revoke")
    wait_until(lambda: "ann" not in users(lent), "the end of ann's pilots", 60, pause_s=0.5)
    batch.wait_done(120)
    assert lent.pilots(account="ann", state="running") == []
    assert all(row["wish"] is None for row in lent.pilots(account="ben")), "nobody asked ben's to leave"
    assert str(lenders(lent)["ann"]["takes_no_more"]).startswith("ann revoked the consent at ")
