"""What HTCondor's records say of a run, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from classad2 import Value

from fallow.rules import ResourceClass, Rules
from fallow_matcher.ledger import Outcome, Run
from fallow_matcher.ledger.ads import complete, parse
from fallow_matcher.ledger.run import ended, started, verdict

from .conftest import DISCONNECTED, EVICTED, NOW, REMOVED, epoch_ad, job_ad, text


@pytest.fixture
def run_of(rules: Callable[..., Rules]) -> Callable[..., Run]:
    """The run that a record tells of, by the default rules with changes."""

    def make(ad: dict[str, Any], **changes: Any) -> Run:
        found = ended(ad, rules(**changes))
        assert found is not None
        return found

    return make


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.DONE),
        ({"ExitCode": 1}, Outcome.FAILED),
        ({"ExitCode": None, "ExitBySignal": True, "ExitSignal": 9}, Outcome.FAILED),
        (EVICTED, Outcome.EVICTED),
        (DISCONNECTED, Outcome.LOST),
        (REMOVED, Outcome.REMOVED),
        ({"VacateReasonCode": 1011, "ExitCode": 143}, Outcome.WITHDRAWN),
        ({"VacateReasonCode": 1009, "HoldReasonCode": 47, "HoldReason": "exceeded"}, Outcome.FAILED),
        ({"VacateReasonCode": 1009, "HoldReasonCode": 34}, Outcome.FAILED),
        ({"VacateReasonCode": 1009, "HoldReasonCode": 6}, Outcome.LOST),
        ({"VacateReasonCode": 1, "HoldReasonCode": 1}, Outcome.REMOVED),
        ({"VacateReasonCode": 1032, "VacateReason": "Slot is not idle"}, Outcome.LOST),
        ({"ExitCode": None, "ExitBySignal": None}, Outcome.LOST),
    ],
)
def test_a_record_says_how_the_run_ended(changes: dict[str, Any], outcome: Outcome) -> None:
    assert verdict(epoch_ad(**changes))[0] is outcome


def test_a_run_is_worth_what_was_measured(run_of: Callable[..., Run]) -> None:
    assert run_of(epoch_ad(wall_s=100)).value == 2 * 100


def test_a_run_is_never_worth_more_than_was_asked_for(run_of: Callable[..., Run]) -> None:
    assert run_of(epoch_ad(wall_s=700)).value == 2 * 600


def test_a_run_is_worth_more_on_a_faster_machine(run_of: Callable[..., Run]) -> None:
    assert run_of(epoch_ad(wall_s=100), benchmark={"south": 1.5}).value == 2 * 100 * 1.5


@pytest.mark.parametrize("changes", [EVICTED, DISCONNECTED])
def test_a_run_that_the_provider_did_not_hold_out_for_is_worth_nothing(
    run_of: Callable[..., Run], changes: dict[str, Any]
) -> None:
    assert run_of(epoch_ad(**changes)).value == 0


@pytest.mark.parametrize("changes", [{"ExitCode": 1}, REMOVED])
def test_a_run_that_the_job_or_its_owner_ended_is_paid(
    run_of: Callable[..., Run], changes: dict[str, Any]
) -> None:
    assert run_of(epoch_ad(wall_s=100, **changes)).value == 200


def test_work_for_ones_own_centre_earns_nothing(run_of: Callable[..., Run]) -> None:
    assert run_of(epoch_ad(FallowUserCentre="south")).value == 0


def test_what_nobody_is_known_to_have_given_earns_nothing(run_of: Callable[..., Run]) -> None:
    assert run_of(epoch_ad(MachineAttrFallowCentre0=None)).value == 0


def test_gpus_count_in_their_models_class(run_of: Callable[..., Run]) -> None:
    classes = {"cpu": ResourceClass(), "big-gpu": ResourceClass(gpu_models=["NVIDIA A100"])}
    ad = epoch_ad(wall_s=100, MachineAttrGPUs0=4, MachineAttrGPUs_DeviceName0="nvidia a100")
    found = run_of(ad, resource_classes=classes)
    assert (found.resource_class, found.value) == ("big-gpu", 400)


def test_a_run_that_goes_on_is_charged_what_it_asked_for(rules: Callable[..., Rules]) -> None:
    found = started(job_ad(start=NOW), rules())
    assert found is not None
    assert (found.value, found.valued_at, found.outcome) == (1200, NOW, Outcome.RUNNING)


def test_the_end_of_a_lost_run_is_when_it_was_last_heard_of(run_of: Callable[..., Run]) -> None:
    ad = epoch_ad(start=NOW, wall_s=186, **DISCONNECTED) | {"LastJobLeaseRenewal": NOW + 6}
    assert run_of(ad).ended == NOW + 6


def test_a_clock_that_went_back_gives_no_negative_time(run_of: Callable[..., Run]) -> None:
    found = run_of(epoch_ad(start=NOW, wall_s=-3600))
    assert (found.wall_s, found.value) == (0, 0)


@pytest.mark.parametrize("name", ["GlobalJobId", "NumJobMatches", "JobCurrentStartDate"])
def test_an_ad_that_names_no_run_is_none(rules: Callable[..., Rules], name: str) -> None:
    assert ended(epoch_ad() | {name: None}, rules()) is None


def test_an_attribute_that_the_queue_calls_undefined_is_no_number(rules: Callable[..., Rules]) -> None:
    found = started(job_ad(MachineAttrGPUs0=Value.Undefined), rules())
    assert found is not None
    assert (found.gpus, found.resource_class) == (0, "cpu")


@pytest.mark.parametrize("claim", ["1e999", "-1e999", "9" * 30, "-5", "4611686018427387904"])
def test_a_job_cannot_claim_numbers_that_no_ledger_holds(run_of: Callable[..., Run], claim: str) -> None:
    (ad,) = parse(text([epoch_ad()]).replace("FallowWalltime = 600", f"FallowWalltime = {claim}").encode())
    assert 0 <= run_of(ad).requested_s < 2**31


def test_a_file_is_read_up_to_its_last_whole_record() -> None:
    whole = text([epoch_ad(1), epoch_ad(2)]).encode()
    for cut in (0, 1, 50, len(text([epoch_ad(3)])) - 1):
        piece = whole + text([epoch_ad(3)]).encode()[:cut]
        assert complete(piece) == len(whole)


def test_only_records_of_an_end_are_read() -> None:
    written = text([epoch_ad(1)], "SPAWN") + text([epoch_ad(2)], "EPOCH") + text([epoch_ad(3)], "Offset = 0")
    assert [ad["ClusterId"] for ad in parse(written.encode())] == [2, 3]


def test_a_records_values_are_read_as_what_they_are() -> None:
    (ad,) = parse(
        text([epoch_ad() | {"exitcode": 3, "VacateReason": 'a \\"b\\"', "QDate": "undefined"}]).encode()
    )
    assert (ad["ExitBySignal"], ad["ExitCode"], ad["RemoteUserCpu"]) == (False, 3, 90.5)
    assert (ad["VacateReason"], ad["GlobalJobId"]) == ('a "b"', "queue@hub#1.0#1794990000")


def test_control_characters_of_a_job_do_not_reach_the_ledger(run_of: Callable[..., Run]) -> None:
    assert run_of(epoch_ad(**{**EVICTED, "VacateReason": "a\x1b[31m"})).reason == "a?[31m"
