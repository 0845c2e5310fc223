"""Campaigns on the real federation: every row exactly once, whatever goes away meanwhile."""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.integration.campaigns import work
from tests.integration.pilots.conftest import site
from tests.integration.pilots.sites import Site
from tests.integration.pilots.test_hub_away import start, stop

from fallow.campaigns.messages import Change, RowState, Selection, Status
from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

ROWS = 40
MANY = 100_000
ALICE = "alice"

DOCUMENT = """
name = "{name}"
image = "{image}"
work_type = "production"
[table]
file = "rows.csv"
[job]
command = ["sh", "run.sh", "{{id}}", "{{how}}"]
files = ["run.sh"]
outputs = [{{ path = "out.txt", url = "s3:///{name}/{{id}}.txt" }}]
memory_mb = 256
disk_mb = 256
walltime_s = 300
"""

SCRIPT = """
echo "row $1"
echo "$1" >out.txt
case $2 in
fail) echo "no such detector" >&2; exit 3 ;;
crash) kill -SEGV $$ ;;
silent) rm out.txt ;;
esac
sleep 1
"""

__all__ = ["site"]


def written(folder: Path, image: str, lines: list[str], more: str = "") -> Path:
    """A document named after its folder; the lines are rows `id,how`."""
    (folder / "rows.csv").write_text("id,how\n" + "".join(f"{line}\n" for line in lines))
    (folder / "run.sh").write_text(SCRIPT)
    path = folder / "campaign.toml"
    path.write_text(more + DOCUMENT.format(name=name_of(path), image=image))
    return path


@pytest.fixture(scope="module")
def document(image: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`document(lines, more="")`: a document of a new name."""
    return lambda lines, more="": written(
        tmp_path_factory.mktemp(f"c-{secrets.token_hex(3)}"), image, lines, more
    )


def name_of(path: Path) -> str:
    """The name of a document's campaign."""
    return path.parent.name.replace("_", "-")


@dataclass(frozen=True)
class Production:
    """What became of a campaign through which a pilot, a centre and the hub went away."""

    name: str
    status: Status
    outputs: dict[str, str]
    finished: list[str]
    """The row of each job that HTCondor saw run to its end."""
    screen: str
    """What `status --watch` drew on a terminal meanwhile."""


@pytest.fixture(scope="module")
def production(
    at: Callable[..., Any],
    document: Callable[..., Path],
    site: Callable[[str], Site],
    hub_host: Host,
    operator: Callable[..., CompletedProcess[str]],
) -> Iterator[Production]:
    """A production with a pilot killed, a centre withdrawn and the hub killed in between."""
    yield produced(ROWS, at, document, site, hub_host, operator)
    site("cedar").wait_for_pilots()


def produced(
    count: int,
    at: Callable[..., Any],
    document: Callable[..., Path],
    site: Callable[[str], Site],
    hub_host: Host,
    operator: Callable[..., CompletedProcess[str]],
) -> Production:
    """Run it."""
    alder, cedar = site("alder"), site("cedar")
    for place in (alder, cedar):
        place.wait_for_pilots()
    path = document([f"r{number},well" for number in range(count)])
    name = name_of(path)
    assert at(ALICE, work.inject, path) == (count, 0)
    screen = path.parent / "screen"
    at(ALICE, work.watch, name, screen)

    def done(least: int) -> None:
        wait_until(
            lambda: at(ALICE, work.states, name).get("done", 0) >= least,
            f"{least} rows of {name}",
            240 + 2 * count,
            pause_s=0.5,
        )

    done(count // 10)
    victim = alder.wait_for_pilots()[0]
    alder.login.run(["scancel", "--signal=KILL", "--full", victim["native_id"]])
    done(count // 4)
    cedar.fallow("withdraw", "--now")
    done(count // 2)
    stop(hub_host)
    start(hub_host)
    cedar.fallow("resume")
    done(count)
    named = f'regexp("^{name}/", FallowName)'
    left = ("condor_q", "-name", "queue@hub", "-allusers", "-constraint", named, "-af", "ClusterId")
    wait_until(lambda: not operator(*left).stdout.strip(), f"the queue without {name}", 120, pause_s=0.5)
    past = (
        "condor_history",
        "-name",
        "queue@hub",
        "-constraint",
        f"{named} && JobStatus == 4",
        "-af",
        "FallowKey",
        "ClusterId",
        "ProcId",
        "CompletionDate",
    )
    # A schedd that is killed may add a job to its history twice.
    ends = set(operator(*past).stdout.splitlines())
    finished = [end.partition(".")[0] for end in ends]
    wait_until(lambda: "Script done" in screen.read_text(), "the end of --watch", 60)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.read_text())
    return Production(name, at(ALICE, work.status, name), at(ALICE, work.outputs, name), finished, drawn)


def test_every_row_is_done(production: Production) -> None:
    assert (production.status.campaign.done, production.status.campaign.failed) == (ROWS, 0)


def test_every_row_is_in_the_outputs_exactly_once(production: Production) -> None:
    assert production.outputs == {f"r{number}": f"r{number}\n" for number in range(ROWS)}


def test_no_row_ran_to_its_end_twice(production: Production) -> None:
    assert len(production.finished) == ROWS
    assert set(Counter(production.finished).values()) == {1}


def test_a_terminal_shows_how_far_it_is_through_a_restart_of_the_hub(production: Production) -> None:
    shares = [float(share) for share in re.findall(r"([0-9.]+) %", production.screen)]
    assert shares == sorted(shares)
    assert len(set(shares)) > 3
    assert shares[-1] == 100
    assert f"{ROWS} of {ROWS} rows done, 0 failed" in production.screen
    assert 'COMMAND_EXIT_CODE="0"' in production.screen


def test_a_check_names_what_is_missing_and_who_could_take_it(
    at: Callable[..., Any], document: Callable[..., Path], image: str
) -> None:
    path = document(["r1,well"])
    path.write_text(path.read_text() + 'inputs = [{ path = "raw", url = "s3:///nowhere/{id}" }]\n')
    found = json.loads(at(ALICE, work.said, "check", str(path), "--json"))
    assert found["remarks"] == ["There is no input s3:///nowhere/r1."]
    assert found["sample"][0]["command"] == ["sh", "run.sh", "r1", "well"]
    assert {(offer["centre"], offer["fits"]) for offer in found["offers"]} >= {
        ("alder", True),
        ("birch", True),
    }


@pytest.fixture(scope="module")
def failing(at: Callable[..., Any], document: Callable[..., Path]) -> str:
    """A campaign with rows that fail in different ways; its name."""
    path = document(["good,well", "bad-1,fail", "bad-2,fail", "crash,crash", "silent,silent"])
    at(ALICE, work.inject, path)
    name = name_of(path)
    wait_until(
        lambda: at(ALICE, work.status, name).campaign.state.value == "finished", name, 180, pause_s=0.5
    )
    return name


def test_failures_are_grouped_with_a_sample_log_each(at: Callable[..., Any], failing: str) -> None:
    found = {one.failure: one for one in at(ALICE, work.status, failing).failures}
    assert {name: one.rows for name, one in found.items()} == {"exit": 2, "signal": 1, "staging": 1}
    assert found["exit"].signature == "exit code 3"
    assert found["signal"].signature == "signal 11 (SIGSEGV)"
    log = json.loads(at(ALICE, work.said, "logs", failing, found["exit"].sample, "--json"))
    assert (log["stdout"], log["stderr"]) == (f"row {found['exit'].sample}\n", "no such detector\n")


def test_failed_rows_are_retried_by_condition(at: Callable[..., Any], failing: str) -> None:
    assert "2 rows run again" in at(ALICE, work.said, "retry", failing, "--failed", "--where", "exit=3")
    wait_until(
        lambda: at(ALICE, work.status, failing).campaign.state.value == "finished", failing, 120, pause_s=0.5
    )
    attempts = {row.id: row.attempt for row in at(ALICE, work.rows, failing)}
    assert attempts["bad-1"] > attempts["good"]


def test_the_report_shows_what_became_of_the_rows(
    at: Callable[..., Any], failing: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    found = json.loads(at(ALICE, work.said, "report", failing, "--html", str(page), "--json"))
    assert (found["totals"]["rows"], found["totals"]["done"]) == (5, 1)
    text = page.read_text()
    assert "exit code 3" in text
    assert "<svg" in text


def test_to_anybody_else_a_campaign_is_not_there(at: Callable[..., Any], failing: str) -> None:
    with pytest.raises(AssertionError, match="You have no campaign"):
        at("bob", work.status, failing)


def test_a_paused_campaign_goes_on_with_what_was_set_meanwhile(
    at: Callable[..., Any], document: Callable[..., Path]
) -> None:
    path = document(["a,well", "b,well"], more='centre = "cedar"\n')
    name = name_of(path)
    at(ALICE, work.inject, path)
    at(ALICE, work.act, name, "pause")
    at(ALICE, work.act, name, "change", Change(memory_mb=300, priority=5))
    wait_until(
        lambda: set(at(ALICE, work.states, name)) <= {"waiting", "done"}, "the pause", 120, pause_s=0.5
    )
    at(ALICE, work.act, name, "resume")
    wait_until(lambda: at(ALICE, work.states, name) == {"done": 2}, name, 180, pause_s=0.5)


def test_a_cancelled_campaign_leaves_no_job(
    at: Callable[..., Any], document: Callable[..., Path], operator: Callable[..., CompletedProcess[str]]
) -> None:
    path = document([f"r{number},well" for number in range(20)])
    name = name_of(path)
    at(ALICE, work.inject, path)
    wait_until(lambda: "waiting" not in at(ALICE, work.states, name), f"jobs of {name}", 60, pause_s=0.5)
    at(ALICE, work.act, name, "cancel")

    def left() -> str:
        named = f'regexp("^{name}/", FallowName)'
        return operator(
            "condor_q", "-name", "queue@hub", "-allusers", "-constraint", named, "-af", "ClusterId"
        ).stdout

    wait_until(lambda: not left().strip(), f"the end of the jobs of {name}", 120, pause_s=0.5)
    wait_until(
        lambda: set(at(ALICE, work.states, name)) <= {"cancelled", "done"},
        f"the end of {name}",
        60,
        pause_s=0.5,
    )


def test_a_hundred_thousand_rows_are_injected_once_through_a_kill_and_by_two(
    at: Callable[..., Any], document: Callable[..., Path]
) -> None:
    path = document([f"r{number:06},well" for number in range(MANY)], more="max_waiting = 1\n")
    name = name_of(path)
    there = at(ALICE, work.killed_halfway, path, name, MANY // 5)
    assert MANY // 5 <= there < MANY
    assert at(ALICE, work.status, name).campaign.state.value == "injecting"
    found = at(ALICE, work.by_two, path)
    at(ALICE, work.act, name, "cancel")
    assert [code for code, _ in found] == [0, 0]
    counts = [re.search(r"(\d+) rows injected, (\d+) were there", words) for _, words in found]
    added = [int(one[1]) for one in counts if one]
    assert 0 < sum(added) <= MANY - there  # what was under way when it was killed may have arrived after all
    assert sum(at(ALICE, work.states, name).values()) == MANY


def test_a_retry_names_rows_that_can_be(at: Callable[..., Any], failing: str) -> None:
    with pytest.raises(AssertionError, match="cannot be retried"):
        at(ALICE, work.act, failing, "retry", Selection(state=RowState.DONE))
