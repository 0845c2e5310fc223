"""The clauses of START, judged by HTCondor's own ClassAd library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import classad2
import htcondor2
import pytest
from pydantic import TypeAdapter

from fallow_pilots.conditions import conditions_of
from fallow_pilots.policy import Policy
from fallow_pilots.spec import Clause

Policies = Callable[..., Policy]

CLAUSE = TypeAdapter(Clause)
"""What a pilot takes of its launcher."""
ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")


assert htcondor2.version(), "its import gives ClassAds the functions that daemons know"


def image(digest: str) -> str:
    return f"/fallow/images/{digest.replace(':', '-')}.sif"


def takes(policy: Policy, **job: Any) -> bool:
    clauses = [CLAUSE.validate_python(condition.requirement) for condition in conditions_of(policy)]
    start = classad2.ExprTree(" && ".join(clauses) or "true")
    return start.eval(classad2.ClassAd({"FallowGpuModel": "NVIDIA A100"}), classad2.ClassAd(job)) is True


def test_without_conditions_every_job_is_taken(policy_of: Policies) -> None:
    assert takes(policy_of())


@pytest.mark.parametrize(
    ("conditions", "wanted", "unwanted"),
    [
        ({"work_types": ["urgent", "test"]}, {"FallowWorkType": "test"}, {"FallowWorkType": "analysis"}),
        ({"work_types": ["test"]}, {"FallowWorkType": "test"}, {"FallowWorkType": "TEST"}),
        ({"centres": ["birch", "cedar"]}, {"FallowUserCentre": "cedar"}, {"FallowUserCentre": "alder"}),
        ({"refused_centres": ["birch"]}, {"FallowUserCentre": "cedar"}, {"FallowUserCentre": "birch"}),
        ({"max_job_s": 600}, {"FallowWalltime": 600}, {"FallowWalltime": 601}),
        ({"refused_work_types": ["test"]}, {"FallowWorkType": "urgent"}, {"FallowWorkType": "test"}),
        ({"projects": ["genomes"]}, {"FallowProject": "genomes"}, {"FallowProject": "genomes2"}),
        ({"refused_projects": ["genomes"]}, {"FallowProject": "other"}, {"FallowProject": "genomes"}),
        ({"outbound_network": False}, {"FallowNetwork": False}, {"FallowNetwork": True}),
        ({"images": [ONE, TWO]}, {"ContainerImage": image(TWO)}, {"ContainerImage": image(THREE)}),
        (
            {"images": [ONE, TWO]},
            {"ContainerImage": image(ONE), "FallowImages": f"{TWO} {ONE}"},
            {"ContainerImage": image(ONE), "FallowImages": f"{TWO} {THREE}"},
        ),
    ],
)
def test_a_condition_takes_what_it_names_and_nothing_else(
    policy_of: Policies,
    conditions: dict[str, Any],
    wanted: dict[str, Any],
    unwanted: dict[str, Any],
) -> None:
    policy = policy_of(conditions=conditions)
    assert takes(policy, **wanted)
    assert not takes(policy, **unwanted)


@pytest.mark.parametrize(
    "conditions",
    [
        {"work_types": ["test"]},
        {"centres": ["birch"]},
        {"refused_centres": ["birch"]},
        {"max_job_s": 60},
        {"images": [ONE]},
        {"images": ["oras://registry.example.org/tools/"]},
        {"refused_work_types": ["test"]},
        {"projects": ["genomes"]},
        {"outbound_network": False},
    ],
)
def test_a_job_that_does_not_say_is_not_taken(policy_of: Policies, conditions: dict[str, Any]) -> None:
    assert not takes(policy_of(conditions=conditions))


def test_a_job_without_a_project_is_of_no_refused_project(policy_of: Policies) -> None:
    assert takes(policy_of(conditions={"refused_projects": ["genomes"]}))


TOOLS = "oras://registry.example.org/tools/"


@pytest.mark.parametrize(
    ("prefix", "source", "taken"),
    [
        (TOOLS, "oras://registry.example.org/tools/bwa", True),
        (TOOLS, "oras://registry.example.org/tools/bwa/0.7", True),
        (TOOLS, "oras://registry.example.org/tools/bwa oras://registry.example.org/tools/samtools", True),
        (TOOLS, "oras://registry.example.org/tools", False),
        (TOOLS, "oras://registry.example.org/tools2/bwa", False),
        (TOOLS, "oras://registry.example.org/tools/../evil", False),
        (TOOLS, "oras://registryXexample.org/tools/bwa", False),
        (TOOLS, "oras://registry.example.org/tools/bwa oras://other.example.org/bwa", False),
        (TOOLS, "oras://registry.example.org/tools/bwa\noras://other.example.org/bwa", False),
        ("oras://registry.example.org/tools", "oras://registry.example.org/tools", True),
        ("oras://registry.example.org/tools", "oras://registry.example.org/tools/bwa", True),
        ("oras://registry.example.org/tools", "oras://registry.example.org/tools-evil", False),
        ("oras://registry.example.org/", "oras://registry.example.org/any", True),
    ],
)
def test_a_registry_prefix_covers_whole_parts_of_a_path(
    policy_of: Policies, prefix: str, source: str, taken: bool
) -> None:
    policy = policy_of(conditions={"images": [prefix]})
    assert takes(policy, FallowImageSource=source) is taken


def test_a_digest_or_a_registry_will_do(policy_of: Policies) -> None:
    policy = policy_of(conditions={"images": [ONE, TOOLS]})
    assert takes(policy, ContainerImage=image(ONE))
    assert takes(policy, ContainerImage=image(TWO), FallowImageSource=f"{TOOLS}bwa")
    assert not takes(policy, ContainerImage=image(TWO))


def test_gpu_models_bind_only_jobs_with_gpus(policy_of: Policies) -> None:
    a100 = policy_of(pilot={"gpus": 1}, conditions={"gpu_models": ["NVIDIA A100"]})
    h100 = policy_of(pilot={"gpus": 1}, conditions={"gpu_models": ["NVIDIA H100"]})
    assert takes(a100, RequestGPUs=1)
    assert not takes(h100, RequestGPUs=1)
    assert takes(h100)
    assert takes(h100, RequestGPUs=0)


def test_every_condition_is_shown_in_words_and_as_an_expression(policy_of: Policies) -> None:
    policy = policy_of(
        pilot={"gpus": 1},
        conditions={
            "work_types": ["test"],
            "refused_work_types": ["urgent"],
            "centres": ["birch"],
            "refused_centres": ["cedar"],
            "projects": ["genomes"],
            "refused_projects": ["mining"],
            "images": [ONE, TOOLS],
            "max_job_s": 600,
            "gpu_models": ["NVIDIA A100"],
            "outbound_network": False,
        },
    )
    clauses = conditions_of(policy)
    assert {clause.name for clause in clauses} == {
        f"conditions.{name}" for name in type(policy.conditions).model_fields
    }
    for clause in clauses:
        assert clause.shown().sentence == clause.sentence
        assert clause.shown().requirement == clause.requirement


def test_what_is_too_long_for_an_offer_is_enforced_all_the_same(policy_of: Policies) -> None:
    many = [f"sha256:{number:064x}" for number in range(50)]
    policy = policy_of(conditions={"images": many, "centres": [f"centre-{number}" for number in range(90)]})
    centres, images = (clause.shown() for clause in conditions_of(policy))
    assert len(centres.sentence) == 500
    assert images.requirement == ""
    assert takes(policy, ContainerImage=image(many[49]), FallowUserCentre="centre-89")
    assert not takes(policy, ContainerImage=image(ONE), FallowUserCentre="centre-89")


def test_all_conditions_must_hold(policy_of: Policies) -> None:
    policy = policy_of(conditions={"work_types": ["test"], "max_job_s": 60})
    assert takes(policy, FallowWorkType="test", FallowWalltime=60)
    assert not takes(policy, FallowWorkType="test", FallowWalltime=61)
    assert not takes(policy, FallowWorkType="urgent", FallowWalltime=60)
