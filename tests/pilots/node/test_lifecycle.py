from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow_pilots.node.lifecycle import SETTLE_S, Asked, End, Phase, Situation, next_phase, verdict
from fallow_pilots.outcome import Code

CALM = Situation(
    phase=Phase.WORKING,
    phase_age_s=10.0,
    now=1000.0,
    until=2000.0,
    asked=Asked.NOTHING,
    token_valid=True,
    evict_s=30.0,
    busy=True,
    setting_up=False,
    setup_s=4.0,
    idle_s=0.0,
    idle_exit_s=300.0,
    black_hole=False,
)
QUIET_END = End(
    phase=Phase.WORKING,
    asked=Asked.NOTHING,
    jobs_run=0,
    seen_in_pool=True,
    denied=False,
    token_valid=True,
    master_status=0,
)


def test_a_pilot_left_in_peace_works_on() -> None:
    assert next_phase(CALM) is Phase.WORKING


def test_asked_to_drain_it_lets_payloads_finish() -> None:
    assert next_phase(replace(CALM, asked=Asked.DRAIN)) is Phase.DRAINING


def test_asked_to_evict_it_stops_them() -> None:
    assert next_phase(replace(CALM, asked=Asked.EVICT)) is Phase.EVICTING


@pytest.mark.parametrize("phase", [Phase.WORKING, Phase.DRAINING])
def test_at_its_end_it_stops_what_runs(phase: Phase) -> None:
    assert next_phase(replace(CALM, phase=phase, now=2000.0)) is Phase.EVICTING


def test_without_a_token_it_takes_nothing_new() -> None:
    assert next_phase(replace(CALM, token_valid=False)) is Phase.DRAINING


def test_a_drained_pilot_leaves() -> None:
    drained = replace(CALM, phase=Phase.DRAINING, busy=False, phase_age_s=SETTLE_S)
    assert next_phase(drained) is Phase.EVICTING


def test_a_pilot_that_still_runs_something_does_not_leave() -> None:
    assert next_phase(replace(CALM, phase=Phase.DRAINING, phase_age_s=900.0)) is Phase.DRAINING


def test_a_claim_made_just_before_the_slot_closed_is_waited_for() -> None:
    closing = replace(CALM, phase=Phase.DRAINING, busy=False, phase_age_s=SETTLE_S / 2)
    assert next_phase(closing) is Phase.DRAINING


@pytest.mark.parametrize("phase", [Phase.WITHDRAWING, Phase.EVICTING])
def test_what_does_not_end_in_time_is_killed(phase: Phase) -> None:
    assert next_phase(replace(CALM, phase=phase, phase_age_s=30.0)) is Phase.KILLING


@pytest.mark.parametrize("asked", [Asked.EVICT, Asked.WITHDRAW])
def test_a_payload_that_is_just_starting_is_waited_for_but_not_for_long(asked: Asked) -> None:
    starting = replace(CALM, asked=asked, setting_up=True)
    assert next_phase(starting) is Phase.DRAINING
    closed = replace(starting, phase=Phase.DRAINING, phase_age_s=1.0)
    assert next_phase(closed) is Phase.DRAINING
    assert next_phase(replace(closed, setting_up=False)).value > Phase.DRAINING.value
    assert next_phase(replace(closed, phase_age_s=4.0)).value > Phase.DRAINING.value


def test_without_work_for_long_it_closes() -> None:
    assert next_phase(replace(CALM, busy=False, idle_s=299.0)) is Phase.WORKING
    assert next_phase(replace(CALM, busy=False, idle_s=300.0)) is Phase.DRAINING


def test_on_a_node_that_fails_every_job_it_closes() -> None:
    assert next_phase(replace(CALM, black_hole=True)) is Phase.DRAINING


@pytest.mark.parametrize("phase", [Phase.WORKING, Phase.DRAINING])
def test_withdrawn_it_gives_back_what_runs_before_it_ends(phase: Phase) -> None:
    withdrawn = replace(CALM, phase=phase, asked=Asked.WITHDRAW)
    assert next_phase(withdrawn) is Phase.WITHDRAWING
    assert next_phase(replace(withdrawn, busy=False)) is Phase.EVICTING
    assert next_phase(replace(withdrawn, phase=Phase.WITHDRAWING, phase_age_s=2.0)) is Phase.WITHDRAWING
    assert next_phase(replace(withdrawn, phase=Phase.WITHDRAWING, busy=False)) is Phase.EVICTING


@given(
    st.builds(
        Situation,
        phase=st.sampled_from(Phase),
        phase_age_s=st.floats(0, 1e6),
        now=st.floats(0, 1e6),
        until=st.floats(0, 1e6),
        asked=st.sampled_from(Asked),
        token_valid=st.booleans(),
        evict_s=st.floats(0, 1e3),
        busy=st.booleans(),
        setting_up=st.booleans(),
        setup_s=st.floats(0, 5),
        idle_s=st.floats(0, 1e3),
        idle_exit_s=st.floats(1, 1e3),
        black_hole=st.booleans(),
    )
)
def test_a_pilot_never_goes_back(situation: Situation) -> None:
    assert next_phase(situation).value >= situation.phase.value


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (QUIET_END, Code.NO_WORK),
        (replace(QUIET_END, jobs_run=3), Code.WORK_DONE),
        (replace(QUIET_END, jobs_run=3, asked=Asked.DRAIN), Code.ASKED_TO_STOP),
        (replace(QUIET_END, jobs_run=3, asked=Asked.WITHDRAW), Code.ASKED_TO_STOP),
        (replace(QUIET_END, jobs_run=10, black_hole="The last 10 jobs failed."), Code.SITE_BROKEN),
        (replace(QUIET_END, asked=Asked.EVICT, black_hole="The last 10 jobs failed."), Code.SITE_BROKEN),
        (replace(QUIET_END, seen_in_pool=False, denied=True), Code.BANNED),
        (replace(QUIET_END, seen_in_pool=False), Code.HUB_BROKEN),
        (replace(QUIET_END, token_valid=False), Code.HUB_BROKEN),
        (replace(QUIET_END, master_status=44), Code.TRANSIENT),
        (replace(QUIET_END, master_status=-9, phase=Phase.KILLING), Code.NO_WORK),
    ],
)
def test_the_end_has_a_code(end: End, code: Code) -> None:
    assert verdict(end)[0] is code
