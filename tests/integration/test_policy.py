"""A policy with each of its conditions, on real pilots: what they take, what they refuse, and who says so."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import removed, status_of, submitted

from fallow.queue.records import JobState
from fallow_testbed import hub
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

OTHER = f"sha256:{'5' * 64}"
CONDITIONS = """
[conditions]
work_types = ["analysis"]
refused_centres = ["birch"]
projects = ["{project}"]
images = ["{image}"]
max_job_s = 600
outbound_network = false
"""
ALONE = (
    "sh",
    "-c",
    "test $(grep -c : /proc/net/dev) = 1 && "
    "! python3 -c 'import socket; socket.create_connection((\"hub\", 8443), 3)' 2>/dev/null",
)
"""Ends well where there is no network but the loopback device."""


@pytest.fixture(scope="module")
def alder(bed: Testbed, image: str) -> Iterator[Site]:
    """The centre with all of these conditions in force, and only new pilots."""
    site = Site("alder", bed.layout())
    before = site.policy.read_text()
    site.follow(before + CONDITIONS.format(project=hub.PROJECT, image=image))
    yield site
    site.follow(before)


@pytest.fixture
def run(at: Callable[..., Any]) -> Iterator[str]:
    name = f"policy-{secrets.token_hex(4)}"
    yield name
    for person in ("alice", "bob"):
        at(person, removed, name)


def admits(policy: Path, ids: Sequence[str]) -> tuple[int, str]:
    """`fallow pilot admits` with a user's own login; called at the desk."""
    from fallow_pilots.cli import pilot

    done = CliRunner().invoke(pilot, ["admits", "--json", "--policy", str(policy), *ids])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def test_pilots_take_what_the_policy_admits_and_nothing_else(
    alder: Site, at: Callable[..., Any], image: str, run: str
) -> None:
    fits: dict[str, Any] = {
        "image": image,
        "argv": ALONE,
        "centre": "alder",
        "work_type": "analysis",
        "project": hub.PROJECT,
        "network": False,
    }
    wrong: dict[str, dict[str, Any]] = {
        "conditions.work_types": {"work_type": "test"},
        "conditions.projects": {"project": None},
        "conditions.images": {"image": OTHER},
        "conditions.max_job_s": {"walltime_s": 900},
        "conditions.outbound_network": {"network": True},
        "pilot.cores": {"cores": 3},
    }
    refused = [{**fits, **change, "key": clause, "name": clause} for clause, change in wrong.items()]
    ids = dict(zip(wrong, at("alice", submitted, run, refused), strict=True))
    wait_until(
        lambda: {job.state for job in at("alice", status_of, run).values()} == {JobState.WAITING},
        "the queue to have the jobs' files",  # another client of the run would take them for half-submitted
        30,
        pause_s=0.3,
    )
    stranger = {**fits, "project": None, "key": "bob", "name": "bob"}
    (ids["conditions.refused_centres"],) = at("bob", submitted, run, [stranger])
    (taken,) = at("alice", submitted, run, [{**fits, "key": "taken", "name": "taken"}])

    code, said = at("alice", admits, alder.policy, [taken, *ids.values()])
    verdicts = {one["job"]: [clause["clause"] for clause in one["refused_by"]] for one in json.loads(said)}
    assert code == 1
    assert verdicts.pop(taken) == []
    assert verdicts.pop(ids["conditions.refused_centres"]) == [
        "conditions.refused_centres",
        "conditions.projects",
    ]
    assert verdicts == {ids[clause]: [clause] for clause in wrong}
    assert at("alice", admits, alder.policy, [taken])[0] == 0

    wait_until(
        lambda: at("alice", status_of, run)["taken"].state is JobState.FINISHED,
        "the end of the job that the policy admits",
        150,
        pause_s=0.5,
    )
    found = at("alice", status_of, run)
    assert found.pop("taken").succeeded
    assert set(found) == {*wrong, "bob"}
    assert {(job.state, job.starts) for job in found.values()} == {(JobState.WAITING, 0)}


def test_the_hub_takes_a_project_only_from_its_members(at: Callable[..., Any], image: str, run: str) -> None:
    job = {"image": image, "argv": ("true",), "project": hub.PROJECT, "key": "x", "name": "x"}
    with pytest.raises(
        AssertionError, match="names a project of this federation of which the submitter is a member"
    ):
        at("bob", submitted, run, [job])


def test_the_offer_shows_every_condition_in_words_and_as_an_expression(alder: Site) -> None:
    shown = json.loads(alder.fallow("offer", "--json").stdout)["offer"]["conditions"]
    assert len(shown) == 6
    assert all(condition["sentence"] and condition["requirement"] for condition in shown)


def test_everything_at_the_centre_and_on_a_node_is_fit(alder: Site) -> None:
    findings = json.loads(alder.fallow("check", "--json", check=False).stdout)
    assert [finding for finding in findings if not finding["fit"]] == []
    assert {"policy", "host", "batch system", "WLCG token", "hub"} <= {one["check"] for one in findings}
    assert any(one["check"].startswith("node alder-") and "isolation" in one["check"] for one in findings)


REGISTRY = """
import ssl, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
held = "/v2/tools/analysis/blobs/" + sys.argv[1]
class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200 if self.path == held else 404)
        self.end_headers()
server = HTTPServer(("hub", 8555), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2] + "/tls.pem", sys.argv[2] + "/tls-key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
TOOLS = "oras://hub:8555/tools/"


@pytest.fixture
def registry(bed: Testbed, image: str) -> Iterator[str]:
    """A repository of a registry at the hub that holds the image, and nothing else."""
    argv = ["python3", "-c", REGISTRY, image, hub.TLS]
    server = bed.host("hub").spawn(argv, user=hub.ACCOUNT, log="/var/log/fallow/registry.log")
    yield f"{TOOLS}analysis"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(20)


def test_an_image_is_taken_from_a_registry_that_holds_it_and_a_lie_about_one_is_found_out(
    alder: Site, at: Callable[..., Any], image: str, run: str, registry: str
) -> None:
    strict = alder.policy.read_text()
    lenient = strict.partition("[conditions]")[0].replace(
        "[assume]\n", '[assume]\nregistry_ca_file = "/home/pilot/ca.pem"\n'
    )
    alder.follow(f'{lenient}[conditions]\nimages = ["{TOOLS}"]\n')
    try:
        fits = {"argv": ("true",), "centre": "alder", "image": image, "image_source": (registry,)}
        jobs = {
            "silent": {**fits, "image_source": ()},
            "elsewhere": {**fits, "image_source": ("oras://hub:8555/others/analysis",)},
            "liar": {**fits, "image": OTHER},
            "honest": fits,
        }
        at("alice", submitted, run, [{**job, "key": name, "name": name} for name, job in jobs.items()])
        wait_until(
            lambda: all(
                at("alice", status_of, run)[name].state is JobState.FINISHED for name in ("liar", "honest")
            ),
            "the end of the jobs that say where their images lie",
            150,
            pause_s=0.5,
        )
        found = at("alice", status_of, run)
        assert {name: job.exit_code for name, job in found.items()} == {
            "silent": None,
            "elsewhere": None,
            "liar": 126,
            "honest": 0,
        }
        assert found["silent"].starts == found["elsewhere"].starts == 0
    finally:
        alder.follow(strict)


def test_a_node_gets_the_largest_shape_that_fits_it(alder: Site) -> None:
    strict = alder.policy.read_text()
    larger = "[[pilot.other_shapes]]\ncores = 4\nmemory_mb = 4096\n[limits]"
    alder.follow(strict.replace("[limits]", larger))
    try:
        alder.wait_for_pilots(2)
        running = alder.pilots(state="running")
        assert {pilot["cores"] for pilot in running} == {4}
        assert len({pilot["node"] for pilot in running}) == len(running) == 2
        shapes = json.loads(alder.fallow("offer", "--json").stdout)["offer"]["shapes"]
        assert [(shape["cores"], shape["count"]) for shape in shapes] == [(4, 2), (2, 0)]
    finally:
        alder.follow(strict)


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("limits.max_pilots", "[limits]\nmax_pilots = 0\n"),
        ("limits.max_nodes", "[limits]\nmax_pilots = 9\nmax_nodes = 0\n"),
        ("limits.max_cores", "[limits]\nmax_pilots = 9\nmax_cores = 0\n"),
        ("limits.share_of_idle", "[limits]\nmax_pilots = 9\nshare_of_idle = 0.0\n"),
        ("limits.core_hours_per_day", "[limits]\nmax_pilots = 9\ncore_hours_per_day = 0\n"),
        ("when.windows", '[limits]\nmax_pilots = 9\n[[when.windows]]\ndays = ["{other_day}"]\n'),
        ("when.only_backfill", "[limits]\nmax_pilots = 9\n[when]\nonly_backfill = true\n"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)
def test_the_clause_that_limits_an_offer_is_named_for_the_real_batch_system(
    alder: Site, clause: str, text: str
) -> None:
    today = alder.login.run(["date", "-u", "+%u"]).stdout.strip()
    other_day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(int(today) + 2) % 7]
    head = alder.policy.read_text().partition("[limits]")[0].replace("/home/pilot/state", "/home/pilot/other")
    beside = alder.policy.with_name("other.toml")
    beside.write_text(head + text.format(other_day=other_day))
    try:
        said = alder.fallow("offer", "--json", "--policy", "/home/pilot/other.toml").stdout
    finally:
        beside.unlink()
    allowed = {cap["clause"]: cap["allows"] for cap in json.loads(said)["caps"]}
    assert clause in allowed
    if clause != "when.only_backfill":
        assert allowed[clause] == 0
