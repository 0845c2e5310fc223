"""A policy with each of its conditions, on real pilots: what they take, what they refuse, and who says so."""

from __future__ import annotations

import json
import secrets
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
    replace_policy(site, before + CONDITIONS.format(project=hub.PROJECT, image=image))
    yield site
    replace_policy(site, before)


def replace_policy(site: Site, text: str) -> None:
    """Put another policy in force: pilots that run keep to the old one, so they go first."""
    site.fallow("withdraw", "--now")
    site.policy.write_text(text)
    site.fallow("resume")


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
