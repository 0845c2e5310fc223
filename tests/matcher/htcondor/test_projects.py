"""Who may name which project, judged by HTCondor's own ClassAd library."""

from __future__ import annotations

import classad2
import pytest

from fallow_matcher.htcondor.policy import requirements

PROJECTS = {"genomes": ["alder.alice", "birch.*"], "climate": ["cedar.mona"]}


def takes(owner: str, project: str | None, projects: dict[str, list[str]] | None = None) -> bool:
    (rule,) = [
        rule for rule in requirements(PROJECTS if projects is None else projects) if rule.name == "Project"
    ]
    job = {"Owner": owner, "FallowUserCentre": owner.partition(".")[0]}
    if project is not None:
        job["FallowProject"] = project
    return classad2.ExprTree(rule.expression).eval(classad2.ClassAd(job)) is True


@pytest.mark.parametrize(
    ("owner", "project", "taken"),
    [
        ("alder.alice", "genomes", True),
        ("birch.bob", "genomes", True),
        ("cedar.mona", "climate", True),
        ("alder.adam", "genomes", False),
        ("alder.alice", "climate", False),
        ("alder.alice", "unknown", False),
        ("alder.alice", "", False),
        ("alder.adam", None, True),
    ],
)
def test_only_members_name_a_project(owner: str, project: str | None, taken: bool) -> None:
    assert takes(owner, project) is taken


def test_a_hub_without_projects_takes_no_project() -> None:
    assert takes("alder.alice", None, {})
    assert not takes("alder.alice", "genomes", {})
