"""`fallow pilot admits`: what the policy says of jobs, asked of the expressions that pilots enforce."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import classad2
import htcondor2
import pytest
from click.testing import CliRunner

from fallow.errors import UsageError
from fallow_pilots.admits import Verdict, judge, read_ads
from fallow_pilots.cli import pilot
from fallow_pilots.policy import Policy

Policies = Callable[..., Policy]

assert htcondor2.version(), "its import gives ClassAds the functions that daemons know"

JOB: dict[str, Any] = {
    "ClusterId": 12,
    "ProcId": 0,
    "JobUniverse": 5,
    "ContainerImage": f"/fallow/images/sha256-{'1' * 64}.sif",
    "FallowWalltime": 600,
    "FallowWorkType": "analysis",
    "FallowUserCentre": "birch",
    "FallowNetwork": True,
    "RequestCpus": 1,
    "RequestMemory": 1000,
    "RequestDisk": 1024,
}


def verdict(policy: Policy, **changes: Any) -> Verdict:
    ad = classad2.ClassAd({name: value for name, value in {**JOB, **changes}.items() if value is not None})
    return judge(policy, "12.0", ad, time.time())


def refused_by(policy: Policy, **changes: Any) -> list[str]:
    return [clause.name for clause in verdict(policy, **changes).refused_by]


def test_a_job_that_fits_is_taken(policy_of: Policies) -> None:
    assert verdict(policy_of()).taken


@pytest.mark.parametrize(
    ("tables", "job", "clause"),
    [
        ({}, {"RequestCpus": 5}, "pilot.cores"),
        ({}, {"RequestMemory": 2001}, "pilot.memory_mb"),
        ({}, {"RequestGPUs": 1}, "pilot.gpus"),
        ({"pilot": {"disk_mb": 10}}, {"RequestDisk": 10241}, "pilot.disk_mb"),
        ({}, {"FallowWalltime": 3572}, "pilot.walltime_s"),
        ({}, {"FallowWalltime": None}, "federation"),
        ({}, {"ContainerImage": "/fallow/images/latest.sif"}, "federation"),
        ({}, {"PreCmd": "/bin/id"}, "federation"),
        (
            {"when": {"windows": [{"start": "08:00", "end": "08:30"}]}},
            {"FallowWalltime": 1772},
            "when.windows",
        ),
        ({"conditions": {"work_types": ["production"]}}, {}, "conditions.work_types"),
        ({"conditions": {"refused_work_types": ["analysis"]}}, {}, "conditions.refused_work_types"),
        ({"conditions": {"centres": ["cedar"]}}, {}, "conditions.centres"),
        ({"conditions": {"refused_centres": ["birch"]}}, {}, "conditions.refused_centres"),
        ({"conditions": {"projects": ["genomes"]}}, {}, "conditions.projects"),
        (
            {"conditions": {"refused_projects": ["mining"]}},
            {"FallowProject": "mining"},
            "conditions.refused_projects",
        ),
        ({"conditions": {"images": [f"sha256:{'2' * 64}"]}}, {}, "conditions.images"),
        ({"conditions": {"max_job_s": 599}}, {}, "conditions.max_job_s"),
        ({"conditions": {"outbound_network": False}}, {}, "conditions.outbound_network"),
    ],
)
def test_the_clause_that_refuses_is_named(
    policy_of: Policies, tables: dict[str, Any], job: dict[str, Any], clause: str
) -> None:
    assert clause in refused_by(policy_of(**tables), **job)


def test_every_clause_that_refuses_is_named(policy_of: Policies) -> None:
    policy = policy_of(conditions={"work_types": ["production"], "max_job_s": 60})
    assert refused_by(policy, RequestCpus=5) == [
        "conditions.work_types",
        "conditions.max_job_s",
        "pilot.cores",
    ]


def test_a_job_that_fits_any_shape_is_taken(policy_of: Policies) -> None:
    policy = policy_of(pilot={"other_shapes": [{"cores": 2, "memory_mb": 9000, "gpus": 1}]})
    assert verdict(policy, RequestMemory=9000, RequestGPUs=1).taken
    assert verdict(policy, RequestCpus=4).taken
    assert refused_by(policy, RequestCpus=4, RequestGPUs=1) == ["pilot.cores"]


def test_a_gpu_job_is_taken_where_a_model_is_named(policy_of: Policies) -> None:
    policy = policy_of(pilot={"gpus": 1}, conditions={"gpu_models": ["NVIDIA A100"]})
    assert verdict(policy, RequestGPUs=1).taken


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"A": 1}),
        json.dumps([{"A": 1}]),
        json.dumps([{"A": "/Expr(0 + 1)/"}]),
        "A = 1\n",
        "[ A = 1 ]",
    ],
)
def test_jobs_are_read_from_json_and_classads(text: str) -> None:
    (ad,) = read_ads(text)
    assert ad.eval("A") == 1


@pytest.mark.parametrize("text", ["", "no job at all", "[]", "3", '["x"]', '[{"A": "/Expr(1 +)/"}]'])
def test_what_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_ads(text)


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    readme = Path(__file__).parents[3] / "pilots" / "README.md"
    path = tmp_path / "policy.toml"
    path.write_text(readme.read_text().split("```toml\n")[1].split("```")[0])
    return path


def test_the_exit_code_says_whether_all_are_taken(policy_file: Path, tmp_path: Path) -> None:
    taken, refused = tmp_path / "taken.json", tmp_path / "refused.json"
    taken.write_text(json.dumps(JOB))
    refused.write_text(json.dumps([JOB, {**JOB, "ProcId": 1, "RequestCpus": 17}]))
    call = ["admits", "--policy", str(policy_file)]
    assert CliRunner().invoke(pilot, [*call, str(taken)]).exit_code == 0
    done = CliRunner().invoke(pilot, [*call, "--json", str(taken), str(refused)])
    assert done.exit_code == 1
    assert [(one["job"], one["taken"]) for one in json.loads(done.output)] == [
        ("12.0", True),
        ("12.0", True),
        ("12.1", False),
    ]
    assert [one["clause"] for one in json.loads(done.output)[2]["refused_by"]] == ["pilot.cores"]


def test_jobs_come_on_standard_input_too(policy_file: Path) -> None:
    call = ["admits", "--policy", str(policy_file), "-"]
    done = CliRunner().invoke(pilot, call, input=json.dumps({**JOB, "FallowWorkType": "test"}))
    assert done.exit_code == 1
    assert "conditions.work_types" in done.output


def test_what_is_neither_id_nor_file_is_said(policy_file: Path) -> None:
    done = CliRunner().invoke(pilot, ["admits", "--policy", str(policy_file), "/nothing"])
    assert isinstance(done.exception, UsageError)
    assert "neither a job id nor a file" in str(done.exception)
