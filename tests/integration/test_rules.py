"""The rules on the real pool: three centres agree with their own tokens, and queue and matcher go by what they agreed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from fallow.client import connect
from fallow.errors import FallowError
from fallow.queue import JobSpec, JobState
from fallow.queue.hub import open_queue
from fallow.rules import default_text, digest_of
from fallow_testbed import hub, issuer, people
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

CENTRES = ("alder", "birch", "cedar")
FALLOW = str(Path(sys.executable).with_name("fallow"))
AGREED = default_text().replace(
    "[resource_classes.cpu]", "[work_types.bulk]\nweight = 0.25\n\n[resource_classes.cpu]"
)
LIFE_S = 3600
OTHER = "sha256:" + "1" * 64

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def rules(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`rules(account, *argv, life_s=…)`: run `fallow rules …` at the desk with a token of that account."""
    folder = tmp_path_factory.mktemp("rules")

    def run(account: str, *argv: str, life_s: int = LIFE_S) -> CompletedProcess[str]:
        token = folder / f"{account}-{life_s}.token"
        if life_s == LIFE_S and token.exists():
            return as_holder(token, account, *argv)
        token.write_text(issuer.token(bed.host("hub"), account, hub.GATEWAY_URL, life_s=life_s))
        token.chmod(0o600)
        return as_holder(token, account, *argv)

    def as_holder(token: Path, account: str, *argv: str) -> CompletedProcess[str]:
        env = people.environment(bed.layout(), "alice") | {
            "BEARER_TOKEN_FILE": str(token),
            "XDG_STATE_HOME": str(folder / account),
        }
        return bed.host("desk").run([FALLOW, "rules", *argv], env=env, check=False)

    return run


def agree(rules: Command, path: Path, text: str) -> None:
    """Propose and approve rules for every centre, unless they are in force."""
    path.write_text(text)
    if digest_of(text) in rules("admin-alder", "show").stdout.splitlines()[0]:
        return
    assert rules("admin-alder", "propose", str(path)).returncode == 0
    for centre in CENTRES:
        assert rules(issuer.admin_account(centre), "approve", digest_of(text)).returncode == 0


@pytest.fixture(scope="module")
def proposal(rules: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A proposal that nobody has approved yet; in the end the rules are again those from before."""
    path = tmp_path_factory.mktemp("proposal") / "rules.toml"
    path.write_text(AGREED)
    done = rules("admin-alder", "propose", str(path))
    assert done.returncode == 0, done.stderr
    assert f"proposed  {digest_of(AGREED)}" in done.stdout
    yield path
    agree(rules, path.with_name("before.toml"), default_text())


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ("bob", "Only a person whose token has the admin group of a centre may speak for it."),
        ("launcher-birch", "Only a person whose token has the admin group of a centre may speak for it."),
    ],
)
def test_who_does_not_speak_for_a_centre_approves_nothing(
    rules: Command, proposal: Path, account: str, said: str
) -> None:
    done = rules(account, "approve", digest_of(proposal.read_text()))
    assert (done.returncode, said in done.stderr) == (4, True), done.stderr


@pytest.mark.usefixtures("proposal")
def test_an_approval_of_another_digest_is_refused_with_what_is_open(rules: Command) -> None:
    done = rules("admin-cedar", "approve", OTHER)
    assert done.returncode == 4
    assert f"No proposal of digest {OTHER} is open. Open: {digest_of(AGREED)}" in done.stderr


@pytest.mark.usefixtures("proposal")
def test_an_expired_token_approves_nothing(rules: Command) -> None:
    def refused() -> bool:
        # Of another digest, so that nothing is approved by a token that still had a moment to live.
        done = rules("admin-birch", "approve", OTHER, life_s=1)
        assert done.returncode != 0
        return "expired" in done.stderr

    wait_until(refused, "The end of a token's life", 30)


def test_a_document_that_contradicts_itself_is_refused_with_both_values(
    rules: Command, tmp_path: Path
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(default_text().replace("ageing_s = 3600", "ageing_s = 700000"))
    done = rules("admin-alder", "propose", str(path))
    assert done.returncode == 2
    assert "ageing_s (700000) is longer than half_life_s (604800)" in done.stderr


@pytest.fixture(scope="module")
def agreed(rules: Command, proposal: Path) -> list[str]:
    """What each centre's admin was told, in order, approving twice."""
    digest = digest_of(proposal.read_text())
    return [
        rules(issuer.admin_account(centre), "approve", digest).stdout.strip()
        for centre in CENTRES
        for _ in range(2)
    ]


def test_rules_take_effect_with_the_second_of_three_centres_and_an_approval_counts_once(
    agreed: list[str],
) -> None:
    waiting = "approved  by alder; 2 of 3 centres are needed"
    assert agreed[:2] == [waiting, waiting]
    assert all("approved by alder, birch" in said and said.startswith("in force") for said in agreed[2:4])
    assert all("approved by alder, birch, cedar" in said for said in agreed[4:])


@pytest.mark.usefixtures("agreed")
def test_everybody_can_check_the_history_and_sees_who_approved(rules: Command) -> None:
    done = rules("bob", "history", "--verify")
    assert done.returncode == 0, done.stderr
    assert "admin-birch for birch" in done.stdout
    assert "unbroken" in done.stdout


@pytest.mark.usefixtures("agreed")
def test_the_matcher_decides_by_the_rules_agreed(hub_host: Host) -> None:
    def digest() -> str:
        decision = hub_host.files / "var/lib/fallow/matching/decision.json"
        return str(json.loads(decision.read_text())["digest"]) if decision.exists() else ""

    wait_until(lambda: digest() == digest_of(AGREED), "The matcher with the agreed rules", 60)


@pytest.mark.usefixtures("agreed")
def test_a_job_of_an_agreed_work_type_runs_and_its_record_can_be_simulated(
    at: Callable[..., Any], rules: Command, proposal: Path, image: str, tmp_path: Path
) -> None:
    assert at("bob", ran, image, tmp_path) is JobState.FINISHED

    def simulated() -> bool:
        return rules("bob", "simulate", str(proposal), "--json").returncode == 0

    wait_until(simulated, "The job's record in the ledger", 60, pause_s=1)
    found = json.loads(rules("bob", "simulate", str(proposal), "--json").stdout)
    assert "birch" in {each["centre"] for each in found["proposed"]}
    assert "mean wait" in rules("bob", "simulate", str(proposal)).stdout


def ran(image: str, directory: Path) -> JobState:
    """Run a job of the work type `bulk`, once the schedd takes it; called at the desk."""
    queue = open_queue(connect())
    run = f"rules-{os.getpid()}"
    spec = JobSpec(
        run=run,
        key="one",
        name="one",
        image=image,
        argv=("true",),
        directory=directory,
        memory_mb=512,
        disk_mb=256,
        walltime_s=300,
        work_type="bulk",
    )

    def taken() -> bool:
        try:
            queue.submit([spec])
        except FallowError as error:
            assert "FallowWorkType is one of" in str(error)  # noqa: PT017 - any other refusal is a failure
            return False
        return True

    def ended() -> bool:
        return queue.status(run)["one"].state in (JobState.FINISHED, JobState.HELD)

    try:
        wait_until(taken, "The schedd with the agreed work types", 30)
        wait_until(ended, "The job", 90, pause_s=0.3)
        return queue.status(run)["one"].state
    finally:
        queue.remove(run=run)


@pytest.mark.usefixtures("agreed")
def test_a_history_that_was_changed_in_the_database_is_found_by_all(rules: Command, hub_host: Host) -> None:
    def change(old: str, new: str) -> None:
        code = (
            "import sqlite3; database = sqlite3.connect('/var/lib/fallow/fallow.sqlite', timeout=30);"
            f"database.execute('UPDATE rules_entry SET body = replace(body, ?, ?) WHERE seq = 2', ({old!r}, {new!r}));"
            "database.commit()"
        )
        hub_host.run(["python3", "-c", code], user=hub.ACCOUNT)

    def noticed() -> bool:
        log = (hub_host.files / "var/log/fallow/matcher.log").read_text()
        return "going on with the rules" in log and "Entry 2 of the history" in log

    change("admin-alder", "admin-birch")
    try:
        done = rules("bob", "history", "--verify")
        assert (
            done.returncode,
            "Entry 2 of the history of the rules is not what was written" in done.stderr,
        ) == (1, True)
        done = rules("admin-cedar", "approve", digest_of(AGREED))
        assert (done.returncode, "Entry 2 of the history" in done.stderr) == (3, True)
        wait_until(noticed, "The matcher's refusal", 60)
    finally:
        change("admin-birch", "admin-alder")
    assert rules("bob", "history", "--verify").returncode == 0
