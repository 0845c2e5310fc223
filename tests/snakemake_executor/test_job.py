"""The script that runs on the node, as a process and, where a fault is needed, as a module."""

import importlib.util
import io
import json
import os
import shlex
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws
from snakemake_interface_common.exceptions import WorkflowError

import snakemake_executor_plugin_fallow
from snakemake_executor_plugin_fallow.keys import stored_inputs

SCRIPT = Path(snakemake_executor_plugin_fallow.__file__).parent / "job" / "fallow_job.py"
FAKE_SNAKEMAKE = """
import json, os, pathlib, sys
def parse_args(arguments):
    pass
def main(arguments):
    parse_args(arguments)
    pathlib.Path(os.environ["REPORT"]).write_text(json.dumps({
        "arguments": arguments, "cwd": os.getcwd(), "environment": dict(os.environ), "path": sys.path[0],
        "argv": sys.argv,
    }))
    sys.exit(int(os.environ.get("EXIT", "0")))
"""


class Node:
    """A sandbox on a node, with a stand-in for Snakemake that reports how it was started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandbox = root / "sandbox"
        self.sandbox.mkdir()
        (root / "site" / "snakemake").mkdir(parents=True)
        (root / "site" / "snakemake" / "__init__.py").touch()
        (root / "site" / "snakemake" / "cli.py").write_text(FAKE_SNAKEMAKE)
        (root / "site" / "snakemake" / "rules.py").write_text("class Rule: pass")
        (root / "site" / "snakemake" / "jobs.py").write_text("class Job:\n def prepare(self): pass")
        (root / "site" / "snakemake" / "executors").mkdir()
        (root / "site" / "snakemake" / "executors" / "local.py").write_text("class Executor: pass")
        for script in (SCRIPT, SCRIPT.with_name("fallow_lean.py")):
            (self.sandbox / script.name).write_bytes(script.read_bytes())

    def run(self, *, exit_code: int = 0, **changes: Any) -> "subprocess.CompletedProcess[str]":
        plain: dict[str, Any] = {
            "arguments": ["--cores", "2"], "sources": None, "precommand": "", "environment": {}, "links": {},
            "files": {}, "private_paths": {}, "expires": None,
        }  # fmt: skip
        (self.sandbox / "job.json").write_text(json.dumps({**plain, **changes}))
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(self.root / "site"), "REPORT": str(self.root / "report"),
            "EXIT": str(exit_code),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "fallow_job.py"], cwd=self.sandbox, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "report").read_text())
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fallow_job", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_snakemake_runs_in_a_directory_of_its_own(node: Node) -> None:
    done = node.run()
    assert done.returncode == 0, done.stderr
    report = node.report()
    assert report["arguments"] == ["--cores", "2"]
    assert report["argv"] == ["snakemake", "--cores", "2"]
    assert report["cwd"] == report["path"] == str(node.sandbox / "work")


def test_the_first_line_says_that_the_container_came_up(node: Node) -> None:
    assert node.run().stderr.splitlines()[0] == "fallow-job: started"


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_jobs_exit_code_is_snakemakes(node: Node, code: int) -> None:
    assert node.run(exit_code=code).returncode == code


def test_secrets_are_in_private_files_and_the_description_is_gone(node: Node) -> None:
    node.run(
        files={"aws/credentials": "[default]\nsecret"},
        private_paths={"AWS_SHARED_CREDENTIALS_FILE": "aws/credentials"},
    )
    path = Path(node.report()["environment"]["AWS_SHARED_CREDENTIALS_FILE"])
    assert path.read_text() == "[default]\nsecret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not (node.sandbox / "job.json").exists()


def test_home_and_temporary_files_stay_in_the_sandbox(node: Node) -> None:
    node.run(environment={"MY_VARIABLE": "it's $mine"})
    environment = node.report()["environment"]
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "APPTAINER_TMPDIR"):
        assert Path(environment[name]).is_relative_to(node.sandbox)
        assert Path(environment[name]).is_dir()
    assert environment["MY_VARIABLE"] == "it's $mine"


def test_an_image_is_found_under_the_name_that_the_rule_uses(node: Node, tmp_path: Path) -> None:
    (tmp_path / "image.sif").write_text("image")
    assert node.run(links={"images/x.sif": str(tmp_path / "image.sif")}).returncode == 0
    assert (node.sandbox / "work" / "images" / "x.sif").read_text() == "image"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"files": {"home": "x"}}, "cannot be prepared"),
        ({"links": {"x.sif": "/fallow/images/absent.sif"}}, "absent.sif is not there"),
    ],
)
def test_a_job_that_cannot_be_set_up_asks_to_run_elsewhere(
    node: Node, changes: dict[str, Any], why: str
) -> None:
    done = node.run(**changes)
    assert done.returncode == 75
    assert why in done.stderr.splitlines()[-1]


def test_a_job_that_waited_longer_than_its_credentials_says_so(node: Node) -> None:
    done = node.run(expires=time.time() - 1)
    assert done.returncode == 76
    assert "credentials expired" in done.stderr


def test_a_job_without_its_description_asks_to_run_elsewhere(node: Node) -> None:
    done = subprocess.run(
        [sys.executable, "fallow_job.py"], cwd=node.sandbox, capture_output=True, text=True, check=False
    )
    assert done.returncode == 75


def test_the_users_precommand_comes_first_and_may_fail_the_job(node: Node) -> None:
    assert node.run(precommand="touch made && false").returncode == 1
    assert (node.sandbox / "work" / "made").exists()
    assert not (node.root / "report").exists()


def test_the_workflows_sources_are_unpacked(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script.unpack(an_archive("workflow/Snakefile"))
    assert (tmp_path / "workflow" / "Snakefile").read_bytes() == b"content"


def test_sources_cannot_leave_the_working_directory(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(tarfile.TarError):
        script.unpack(an_archive("../evil"))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(("sha256", "why"), [("0" * 64, "checksum is wrong"), (None, "NoSuchKey")])
def test_sources_that_do_not_come_whole_are_tried_again_and_then_given_up(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sha256: str | None,
    why: str,
) -> None:
    import boto3

    pauses: list[float] = []
    monkeypatch.setattr(script.time, "sleep", pauses.append)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="users")
        if sha256 is not None:
            boto3.client("s3", region_name="us-east-1").put_object(Bucket="users", Key="p/archive", Body=b"x")
        with pytest.raises(SystemExit) as end:
            script.fetch("s3://users/p/archive", sha256 or "")
    assert end.value.code == 75
    assert pauses == [1, 2, 4, 8, 16, 32]
    assert capsys.readouterr().err.count(why) == 7


def an_archive(name: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 7
        tar.addfile(member, io.BytesIO(b"content"))
    return archive.getvalue()


LATER = {
    "Version": 1,
    "AccessKeyId": "later",
    "SecretAccessKey": "later-secret",
    "Expiration": "2999-01-01T00:00:00+00:00",
}
RENEWAL = {"bucket": "users", "key": "alice/w/.fallow/access/run.json"}


def ends_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Path]:
    """Writes credentials that end in some seconds; later ones are in the storage."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def write(seconds: float) -> Path:
        path = tmp_path / "access.json"
        access = {**LATER, "AccessKeyId": "first", "Expiration": ends_in(seconds), "renewal": RENEWAL}
        path.write_text(json.dumps(access))
        return path

    return write


@mock_aws
def test_credentials_that_end_soon_give_way_to_later_ones(
    script: ModuleType, given: Callable[[float], Path]
) -> None:
    import boto3

    store = boto3.client("s3")
    store.create_bucket(Bucket="users")
    store.put_object(Bucket="users", Key=RENEWAL["key"], Body=json.dumps(LATER))
    path = given(600)
    assert script.credentials(path) == LATER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.delete_object(Bucket="users", Key=RENEWAL["key"])
    assert script.credentials(path) == LATER, "the later ones are kept"


@mock_aws
def test_present_credentials_are_given_where_there_are_no_later_ones(
    script: ModuleType, given: Callable[[float], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.credentials(given(600))["AccessKeyId"] == "first"
    captured = capsys.readouterr()
    assert "no later credentials" in captured.err
    assert captured.out == ""


def test_credentials_with_time_left_are_given_without_asking(
    script: ModuleType, given: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "latest", lambda *_: pytest.fail("asked"))
    assert script.credentials(given(7200))["AccessKeyId"] == "first"


def test_later_credentials_are_fetched_while_nobody_asks_for_any(
    script: ModuleType, given: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "LOOK_S", 0.01)
    monkeypatch.setattr(script, "latest", lambda *_: LATER)
    path = given(0.5)
    script.keep_renewed(path)
    deadline = time.monotonic() + 60
    while json.loads(path.read_text())["AccessKeyId"] == "first" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert script.credentials(path) == LATER


def test_the_job_answers_aws_clients_itself(node: Node) -> None:
    access = json.dumps({**LATER, "renewal": None})
    files = {
        "aws/config": "[default]\ncredential_process = @credential_process@\n",
        "aws/access.json": access,
    }
    node.run(files=files)
    config = (node.sandbox / ".fallow" / "aws" / "config").read_text()
    command = shlex.split(config.partition("= ")[2])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == LATER


def a_member(*inputs: str) -> Any:
    files = [
        SimpleNamespace(is_storage=True, storage_object=SimpleNamespace(query=query)) for query in inputs
    ]
    return SimpleNamespace(rule=SimpleNamespace(name="join"), wildcards_dict={"n": "1"}, input=files)


def test_a_job_that_would_read_less_than_the_workflow_found_does_not_run(script: ModuleType) -> None:
    wanted = stored_inputs([a_member("s3://users/a", "s3://users/b")])
    script.check_inputs(a_member("s3://users/b", "s3://users/a", "s3://users/more"), wanted)
    script.check_inputs(a_member(), {})
    with pytest.raises(WorkflowError, match="Rule join reads s3://users/a and, in all, 1 files that"):
        script.check_inputs(a_member("s3://users/b"), wanted)
