"""What a user is told of rules that no present offer can take: before anything is submitted, and by a dry run."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fallow.errors import NotAvailableError
from fallow.fits import FitAnswer, FitRequest
from snakemake_executor_plugin_fallow.dryrun import DryRun, listen, stop
from snakemake_executor_plugin_fallow.fits import Findings, Wishes

from .conftest import Hub, LocalQueue

SNAKEFILE = """
rule all:
    input: "small.txt", "big.txt"
rule small:
    output: "small.txt"
    shell: "echo small > {output}"
rule big:
    output: "big.txt"
    threads: 64
    shell: "echo big > {output}"
"""


def answers(requests: Sequence[FitRequest]) -> list[FitAnswer]:
    """As a hub with small nodes says it."""
    return [
        FitAnswer(fits=False, impossible=True, summary=f"There is no centre {each.centre!r}.")
        if each.centre
        else FitAnswer(fits=each.cores < 10, summary=f"needs {each.cores} cores")
        for each in requests
    ]


def held(**rules: dict[str, Any]) -> Findings:
    wishes = Wishes({})
    for name, resources in rules.items():
        threads = resources.pop("threads", 1)
        wishes.add(name, threads, resources)
    return wishes.held_against(answers)


def test_rules_that_fit_are_not_talked_about() -> None:
    assert held(a={}, b={"mem_mb": 9000}) == Findings([], [])


def test_rules_that_ask_the_same_are_asked_about_once_and_told_together() -> None:
    asked: list[int] = []
    wishes = Wishes({})
    for number in range(1000):
        wishes.add(f"r{number % 3}", 64, {"mem_mb": 300})

    def ask(requests: Sequence[FitRequest]) -> list[FitAnswer]:
        asked.append(len(requests))
        return answers(requests)

    assert wishes.held_against(ask).waiting == ["Rules r0, r1, r2: needs 64 cores"]
    assert asked == [1]


def test_what_can_never_be_is_told_apart_from_what_waits() -> None:
    found = held(big={"threads": 64}, lost={"fallow_centre": "nowhere"}, odd={"mem_mb": "much"})
    assert found.waiting == ["Rule big: needs 64 cores"]
    assert "Rule lost: There is no centre 'nowhere'." in found.never
    assert any("Rule odd: mem_mb='much' is not a number" in line for line in found.never)


def test_a_rule_that_no_present_offer_takes_is_told_before_its_jobs_go(
    workflow: Callable[..., bool], queue: LocalQueue, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.answers = answers
    with caplog.at_level(logging.WARNING):
        assert workflow(SNAKEFILE)
    told = [record.getMessage() for record in caplog.records if "No present offer" in record.getMessage()]
    assert told == [
        "No present offer takes this; its jobs will wait until one does. Rule big: needs 64 cores"
    ]
    assert len(queue.specs) == 2


def test_a_rule_that_can_never_run_stops_the_workflow_before_anything_is_submitted(
    workflow: Callable[..., bool], queue: LocalQueue, hub: Hub
) -> None:
    hub.answers = answers
    assert not workflow(SNAKEFILE.replace("threads: 64", 'resources: fallow_centre="nowhere"'))
    assert queue.batches == []


def test_a_hub_that_cannot_say_it_stops_nothing(workflow: Callable[..., bool], hub: Hub) -> None:
    def away(requests: Sequence[FitRequest]) -> list[FitAnswer]:
        raise NotAvailableError("The hub is away.")

    hub.answers = away
    assert workflow(SNAKEFILE)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """As where a hub is configured."""
    monkeypatch.setenv("FALLOW_HUB", "https://hub.example.org")
    monkeypatch.setattr("fallow.client.connect", lambda: hub)


@pytest.mark.usefixtures("listening")
def test_a_dry_run_says_which_rules_no_present_offer_takes(
    workflow: Callable[..., bool], queue: LocalQueue, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.answers = answers
    listen({})
    with caplog.at_level(logging.INFO):
        assert workflow(SNAKEFILE, dry=True)
    assert (
        "No present offer takes this; its jobs will wait until one does. Rule big: needs 64 cores"
        in caplog.text
    )
    assert hub.asked == [2]
    assert queue.batches == []


@pytest.mark.usefixtures("listening")
def test_a_dry_run_knows_local_rules_and_more_threads_than_it_has_cores(
    workflow: Callable[..., bool], hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.answers = answers
    listen({})
    with caplog.at_level(logging.INFO):
        assert workflow(f"localrules: small\n{SNAKEFILE}", dry=True, cores=1)
    assert "Rule big: needs 64 cores" in caplog.text
    assert hub.asked == [1]


@pytest.mark.usefixtures("listening")
def test_a_dry_run_goes_on_where_the_hub_is_away_with_one_line(
    workflow: Callable[..., bool], hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    def away(requests: Sequence[FitRequest]) -> list[FitAnswer]:
        raise NotAvailableError("The hub is away.")

    hub.answers = away
    listen({})
    with caplog.at_level(logging.INFO):
        assert workflow(SNAKEFILE, dry=True)
    said = [record for record in caplog.records if "could not be asked" in record.getMessage()]
    assert len(said) == 1


@pytest.mark.usefixtures("listening")
def test_who_runs_the_workflow_is_not_told_twice(workflow: Callable[..., bool], hub: Hub) -> None:
    hub.answers = answers
    listen({})
    assert workflow(SNAKEFILE)
    assert hub.asked == [2]
    assert not [each for each in logging.getLogger("snakemake.logging").filters if isinstance(each, DryRun)]


def test_without_a_hub_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("FALLOW_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("FALLOW_HUB", raising=False)
    stop()
    listen({})
    assert not [each for each in logging.getLogger("snakemake.logging").filters if isinstance(each, DryRun)]
