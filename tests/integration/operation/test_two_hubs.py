"""Of two hubs one is killed amid a workflow, a campaign and jobs; the other goes on, and the lost one comes back. What one
revokes is revoked at both.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.campaigns import work
from tests.integration.campaigns.test_campaigns import name_of, written
from tests.integration.conftest import inside, published
from tests.integration.pilots.work import LONG, removed, status_of, submitted
from tests.integration.security.test_keys import exchanges, part
from tests.integration.test_executor import Workflow

from fallow.client import connect
from fallow.ledger.messages import Line
from fallow.queue import JobRecord, JobState
from fallow.queue.ids import place_of
from fallow_matcher.ledger.run import CHARGED
from fallow_testbed import hub, issuer, network, people
from fallow_testbed.images import ensure_sif
from fallow_testbed.progress import Progress
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

DECLARATION = Path(__file__).parent / "two_hubs.toml"
RUN = "shared"
PARTS, ROWS = 8, 12
SNAKEFILE = f"""
rule all:
    input: "all.txt"
rule part:
    output: "parts/{{n}}.txt"
    resources: mem_mb=128, disk_mb=64, runtime=5
    shell: "sleep 3; echo {{wildcards.n}} > {{output}}"
rule join:
    input: expand("parts/{{n}}.txt", n=range({PARTS}))
    output: "all.txt"
    resources: mem_mb=128, disk_mb=64, runtime=5
    shell: "cat {{input}} > {{output}}"
"""
FIRST = {"FALLOW_HUB": hub.GATEWAY_URL, "FALLOW_OTHER_HUB": hub.SECOND_URL}
"""The environment of one whose own hub is the first."""


@dataclass
class Story:
    """What was seen before the second hub was killed, while it was away, and when it was back."""

    bed: Testbed
    at_desk: Callable[..., Any]
    before: dict[str, JobRecord]
    after: dict[str, JobRecord] = field(default_factory=dict)
    listing: CompletedProcess[str] | None = None
    wrong: set[str] = field(default_factory=set)
    slots: str = ""
    back: dict[str, JobRecord] = field(default_factory=dict)
    result: str = ""
    rules: list[str] = field(default_factory=list)
    campaign: str = ""


@pytest.fixture(scope="module")
def bed(layers: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A small federation with two hubs, of which the second may be lost."""
    testbed = Testbed(tmp_path_factory.mktemp("testbeds") / "pair")
    testbed.up(DECLARATION, layers, Progress())
    yield testbed
    testbed.down()


@pytest.fixture(scope="module")
def story(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Start work in both queues, kill the second hub, do some more, and bring it back."""
    layout = bed.layout()
    environment = people.environment(layout, "alice")

    def at_desk(function: Callable[..., Any], *arguments: Any, **more: str) -> Any:
        return inside(bed.host("desk"), {**environment, **more}, function, *arguments)

    packed = ensure_sif("analysis")
    image = f"sha256:{packed.sha256}"
    at_desk(published, packed.sif, image)
    at_desk(submitted, RUN, [job("second", image, LONG)])
    at_desk(submitted, RUN, [job("first", image, LONG)], **FIRST)
    wait_until(lambda: computes(at_desk(status_of, RUN), "first", "second"), "both jobs' start", 150, 0.5)
    seen = Story(bed, at_desk, at_desk(status_of, RUN))
    document = written(
        tmp_path_factory.mktemp("c-pair"), image, [f"r{number},well" for number in range(ROWS)]
    )
    seen.campaign = name_of(document)
    assert at_desk(work.inject, document) == (ROWS, 0)
    wait_until(lambda: done(seen) >= ROWS // 4, "the campaign's first rows", 150, 1)
    workflow = Workflow(bed, tmp_path_factory.mktemp("workflow"), ensure_sif("worker").sif, "--jobs", "3")
    (workflow.directory / "Snakefile").write_text(SNAKEFILE)
    process = workflow.start()
    wait_until(lambda: workflow.steps() >= 2, "the workflow's first rules", 150, 0.5)

    second = layout.second_hub()
    second.kill()
    lost = time.monotonic()
    at_desk(submitted, "after", [job("after", image, ("true",))])
    print(f"\nthe second hub was killed; {time.monotonic() - lost:.1f} s later the first had the next job")
    wait_until(lambda: at_desk(status_of, "after")["after"].succeeded, "the end of the next job", 150, 0.5)
    print(f"it had ended {time.monotonic() - lost:.1f} s after the kill")
    seen.after = at_desk(status_of, "after")
    fallow = str(Path(sys.executable).with_name("fallow"))
    seen.listing = bed.host("desk").run([fallow, "jobs"], env=environment)
    seen.slots = pool(bed, "condor_status", "-af", "GlobalJobId").stdout

    doctor = bed.host("hub").run(["fallow", "hub", "doctor", "--json"], check=False).stdout
    seen.wrong = {row["name"] for row in json.loads(doctor) if row["state"] == "wrong"}

    second.start()
    network.plug_in(layout.switch(), second, layout.spec.addresses()[second.name], None)
    second.spawn(["fallow", "-v", "hub", "up", "--foreground"], log="/var/log/fallow/up.log")
    log = second.files / "var/lib/fallow/log/ShadowLog"
    returned = time.monotonic()
    wait_until(lambda: "Reconnect SUCCESS" in log.read_text(), "the way back to the pilot", 200, 0.5)
    print(f"the second hub came back; it had its job again {time.monotonic() - returned:.1f} s later")
    seen.back = at_desk(status_of, RUN)
    at_desk(removed, RUN)
    code = process.wait(timeout=300)
    assert code == 0, workflow.log.read_text()
    seen.result = workflow.result("all.txt")
    [report] = (workflow.directory / ".snakemake" / "fallow").glob("*.jsonl")
    ended = [json.loads(line) for line in report.read_text().splitlines()]
    seen.rules = [job["name"] for job in ended if job["outcome"] == "done"]
    wait_until(lambda: done(seen) == ROWS, "the campaign's last rows", 240, 1)
    return seen


def done(seen: Story) -> int:
    """How many of the campaign's rows are."""
    return int(seen.at_desk(work.states, seen.campaign).get("done", 0))


def job(name: str, image: str, argv: tuple[str, ...]) -> dict[str, Any]:
    return {"key": name, "name": name, "image": image, "argv": argv}


def computes(found: dict[str, JobRecord], *names: str) -> bool:
    return all(name in found and found[name].state is JobState.RUNNING for name in names)


def pool(bed: Testbed, *argv: str) -> CompletedProcess[str]:
    """Run one of HTCondor's programs on the first hub."""
    return bed.host("hub").run(list(argv), user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT)


def runs() -> list[Line]:
    """The runs of alice's centre that have ended; called at the desk."""
    now = int(time.time())
    return [line for _, line in connect().ledger_lines(now - 3600, now + 60)]


def test_one_pilot_runs_jobs_of_both_queues(story: Story) -> None:
    first, second = story.before["first"], story.before["second"]
    assert (place_of(first.id), place_of(second.id)) == (0, 1)
    assert first.pilot == second.pilot is not None


def test_while_a_hub_is_away_new_work_goes_to_the_other(story: Story) -> None:
    after = story.after["after"]
    assert (place_of(after.id), after.pilot) == (0, story.before["first"].pilot)


def test_a_listing_has_the_other_queues_jobs_and_names_the_one_that_is_silent(story: Story) -> None:
    assert story.listing is not None
    assert story.before["first"].id in story.listing.stdout
    assert "queue@hub2 does not answer" in story.listing.stderr


def test_the_doctor_of_the_other_hub_misses_it(story: Story) -> None:
    assert "other hub" in story.wrong


def test_the_job_of_the_lost_hub_ran_on_and_is_found_again(story: Story) -> None:
    job_id = story.before["second"].id
    assert f"queue@hub2#{job_id}#" in story.slots
    assert told(story.back["second"]) == told(story.before["second"])


def test_the_job_of_the_other_hub_was_not_touched(story: Story) -> None:
    assert told(story.back["first"]) == told(story.before["first"])


def told(found: JobRecord) -> tuple[object, ...]:
    """What must be the same of a job that runs on."""
    return found.id, found.state, found.pilot, found.starts


def test_the_workflow_ends_as_if_nothing_had_been(story: Story) -> None:
    assert story.result == "".join(f"{number}\n" for number in range(PARTS))
    assert Counter(story.rules) == Counter([*(f"part (n={number})" for number in range(PARTS)), "join"])


def test_every_row_of_the_campaign_is_in_the_outputs(story: Story) -> None:
    assert story.at_desk(work.outputs, story.campaign) == {
        f"r{number}": f"r{number}\n" for number in range(ROWS)
    }


def test_one_ledger_has_each_run_of_both_queues_once(story: Story) -> None:
    taken_back = {found.id for found in story.before.values()}
    wanted = (
        len(taken_back) + 1 + PARTS + 1 + ROWS
    )  # the one after the kill, the workflow's and the campaign's

    def ended() -> list[Line]:
        return [line for line in story.at_desk(runs) if line.ended]

    wait_until(lambda: len({line.job for line in ended()}) >= wanted, "the runs in the ledger", 150, 1)
    lines = ended()
    jobs = {line.job for line in lines}
    assert len(jobs) == wanted
    # Of a match that came to nothing there is a line as well, which nobody pays for: the slot was not there any more, or
    # its pilot did not answer while it dialled the lost hub.
    paid = Counter((line.job, line.outcome) for line in lines if line.outcome in CHARGED)
    assert paid == Counter((job, "removed" if job in taken_back else "done") for job in jobs)


def test_what_is_revoked_at_one_hub_is_refused_by_the_other_until_it_is_taken_back(story: Story) -> None:
    first, second = story.bed.host("hub"), story.bed.layout().second_hub()
    stolen, kept = (issuer.token(first, "alice", hub.GATEWAY_URL) for _ in range(2))
    words = ["--jti", part(stolen, 1)["jti"]]
    assert story.at_desk(exchanges, stolen)
    began = time.monotonic()
    first.run(["fallow", "hub", "revoke", *words])
    wait_until(lambda: not story.at_desk(exchanges, stolen), "the refusal by the other hub", 60, 0.2)
    print(f"\nthe other hub refused a revoked token {time.monotonic() - began:.1f} s after the command")
    assert story.at_desk(exchanges, kept)

    def revoked() -> str:
        ask = ["condor_config_val", "-name", "queue@hub2", "-schedd", "SEC_TOKEN_REVOCATION_EXPR"]
        return second.run(ask, user=hub.ACCOUNT, env=hub.CONDOR_ENVIRONMENT).stdout

    wait_until(lambda: words[1] in revoked(), "the other hub's HTCondor", 60, 0.2)
    first.run(["fallow", "hub", "revoke", *words, "--undo"])
    wait_until(lambda: story.at_desk(exchanges, stolen), "the word that takes it back", 60, 0.2)
    wait_until(lambda: words[1] not in revoked(), "the other hub's HTCondor", 60, 0.2)
