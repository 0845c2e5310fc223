"""HTCondor's own tools with a token of `fallow token condor`: the same rules, and jobs of campaigns are jobs like others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.security.conftest import Attacker, attacker, condor_token, wlcg

from fallow_testbed.wait import wait_until

ROOT = Path(__file__).resolve().parents[3]
QUEUE = ("-name", "queue@hub")
JOB = """
universe = container
container_image = /fallow/images/{image}.sif
transfer_container = false
executable = /usr/bin/env
transfer_executable = false
arguments = echo hello from $(Process)
output = out.$(Process)
error = err.$(Process)
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_memory = 256
request_disk = 256MB
{more}
queue 2
"""

__all__ = ["attacker", "condor_token", "wlcg"]


@pytest.fixture(scope="module")
def alice(attacker: Callable[..., Attacker], condor_token: Callable[..., str]) -> Attacker:
    """Somebody at a host with HTCondor's programs and alice's token."""
    return attacker(condor_token("alice"))


def submitted(somebody: Attacker, image: str, more: str) -> Any:
    """What condor_submit says."""
    text = JOB.format(image=image.replace(":", "-"), more=more)
    path = somebody.put("job.sub", text)
    return somebody.run("env", "-C", somebody.directory, "condor_submit", *QUEUE, "-spool", "-terse", path)


def test_jobs_are_submitted_followed_fetched_and_removed(alice: Attacker, image: str) -> None:
    said = submitted(alice, image, "MY.FallowWalltime = 300")
    assert said.returncode == 0, said.stderr
    cluster = said.stdout.split(".")[0]

    def states() -> list[str]:
        return alice.run("condor_q", *QUEUE, cluster, "-af", "JobStatus").stdout.split()

    wait_until(lambda: states() == ["4", "4"], "the end of both jobs", 120, pause_s=0.5)
    alice.run("env", "-C", alice.directory, "condor_transfer_data", *QUEUE, cluster)
    assert alice.run("cat", f"{alice.directory}/out.1").stdout == "hello from 1\n"
    assert alice.run("condor_rm", *QUEUE, cluster).returncode == 0
    wait_until(lambda: states() == [], "the removal", 30, pause_s=0.5)


def test_a_job_that_breaks_a_rule_is_refused_with_its_sentence(alice: Attacker, image: str) -> None:
    said = submitted(alice, image, "")
    assert said.returncode != 0
    assert "A job says how long it may run" in said.stderr


def test_a_dag_is_run_by_dagman_at_its_users_machine(
    attacker: Callable[..., Attacker], condor_token: Callable[..., str], image: str
) -> None:
    carol = attacker(condor_token("alice"), more="LOG = $(LOCAL_DIR)/log\nSPOOL = $(LOCAL_DIR)/log")
    page = (ROOT / "docs" / "how-to" / "run-a-campaign.md").read_text()
    script = carol.put("at-the-hub.sh", (ROOT / "docs" / "how-to" / "dagman" / "at-the-hub.sh").read_text())
    carol.run("chmod", "+x", script)
    carol.run("mkdir", f"{carol.directory}/log")
    for node in ("A", "B"):
        job = JOB.format(image=image.replace(":", "-"), more="MY.FallowWalltime = 300")
        carol.put(f"{node}.sub", job.replace("$(Process)", node).replace("queue 2", "queue"))
    carol.put("noop.sub", "executable = /bin/true\nqueue\n")
    dag = re.search(r"(?m)(?:^    (?:JOB|SCRIPT|PARENT) .*\n)+", page)
    command = re.search(r"(?m)^    (export HUB=.*\n    condor_dagman (?:.*\n){2})", page)
    assert dag is not None
    assert command is not None
    carol.put("w.dag", dag[0].replace("    ", ""))
    ran = carol.run(
        "env", "-C", carol.directory, "sh", "-c", command[1].replace("hub.example.org", "hub"), timeout_s=240
    )
    told = carol.run("cat", f"{carol.directory}/w.dag.dagman.out").stdout
    assert ran.returncode == 0, told[-3000:]
    assert "DAG_STATUS_OK" in told
    written = carol.run("sh", "-c", f"cat {carol.directory}/out.A {carol.directory}/out.B").stdout
    assert written == "hello from A\nhello from B\n"
