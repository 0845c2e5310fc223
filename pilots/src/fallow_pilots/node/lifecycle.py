"""The pilot's life as a pure decision: what to do next, and what its end means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fallow_pilots.outcome import Code

SETTLE_S = 5.0
"""A claim that was made just before the slot closed shows itself within this time."""


NOTICED_S = 1.0
"""HTCondor reads changed settings within this time."""


class Phase(Enum):
    """How far a pilot has come; it never goes back."""

    WORKING = 1
    DRAINING = 2
    """Takes nothing new; what runs may finish until the pilot leaves."""
    WITHDRAWING = 3
    """What runs is stopped and goes back to the queue, marked as withdrawn by the owner of the capacity."""
    EVICTING = 4
    """HTCondor ends; what still runs is stopped and goes back to the queue."""
    KILLING = 5
    """HTCondor did not end in time and is killed."""


class Asked(Enum):
    """What somebody asked the pilot to do."""

    NOTHING = 0
    DRAIN = 1
    EVICT = 2
    WITHDRAW = 3
    """The owner of the capacity wants it back: evict, and say so."""


@dataclass(frozen=True)
class Situation:
    """All that the decision depends on.

    Args:
        phase: Where the pilot is.
        phase_age_s: Seconds since it came there.
        now: Unix time.
        until: Unix time at which the pilot stops what runs, to be gone when the allocation ends.
        asked: The most that was asked of it so far.
        token_valid: Whether the pilot is authorised.
        evict_s: Seconds that eviction may take.
        busy: Whether a payload runs.
        setting_up: Whether a payload is about to run, and cannot be stopped cleanly yet.
        setup_s: Seconds that may be spent on waiting for that.
        idle_s: Seconds without a payload.
        idle_exit_s: Seconds without a payload after which the pilot leaves.
        black_hole: Whether the node fails job after job.
    """

    phase: Phase
    phase_age_s: float
    now: float
    until: float
    asked: Asked
    token_valid: bool
    evict_s: float
    busy: bool
    setting_up: bool
    setup_s: float
    idle_s: float
    idle_exit_s: float
    black_hole: bool


def next_phase(situation: Situation) -> Phase:  # noqa: PLR0911 - one line for each phase
    """The phase that the pilot should be in now; equal to or after the present one."""
    phase, age_s = situation.phase, situation.phase_age_s
    if phase is Phase.KILLING or (phase.value >= Phase.WITHDRAWING.value and age_s >= situation.evict_s):
        return Phase.KILLING
    over = situation.now >= situation.until and situation.asked is not Asked.WITHDRAW
    leaves = situation.asked is Asked.EVICT or over
    if phase is Phase.EVICTING:
        return phase
    if phase is Phase.WITHDRAWING:
        done = age_s >= NOTICED_S and not situation.busy
        return Phase.EVICTING if leaves or done else phase
    if leaves or situation.asked is Asked.WITHDRAW:
        if situation.setting_up and (phase is Phase.WORKING or age_s < situation.setup_s):
            return Phase.DRAINING
        return Phase.EVICTING if leaves or not situation.busy else Phase.WITHDRAWING
    if phase is Phase.DRAINING:
        return phase if situation.busy or age_s < SETTLE_S else Phase.EVICTING
    return Phase.DRAINING if _closes(situation) else phase


def _closes(situation: Situation) -> bool:
    """Whether the slot takes nothing new from now on."""
    out_of_work = not situation.busy and situation.idle_s >= situation.idle_exit_s
    unfit = situation.black_hole or not situation.token_valid
    return situation.asked is Asked.DRAIN or unfit or out_of_work


@dataclass(frozen=True)
class End:
    """What is known when HTCondor has ended.

    Args:
        phase: Where the pilot was.
        asked: The most that was asked of it.
        jobs_run: Jobs that ended by themselves.
        seen_in_pool: Whether the collector ever listed the pilot.
        denied: Whether the hub refused the pilot's token.
        token_valid: Whether the token was still valid.
        master_status: Exit status of `condor_master`.
        black_hole: Why the node counts as broken; empty where it does not.
    """

    phase: Phase
    asked: Asked
    jobs_run: int
    seen_in_pool: bool
    denied: bool
    token_valid: bool
    master_status: int
    black_hole: str = ""


def verdict(end: End) -> tuple[Code, str]:  # noqa: PLR0911 - one line for each end
    """The outcome code and its sentence."""
    if end.black_hole:
        return Code.SITE_BROKEN, end.black_hole
    if end.asked is Asked.WITHDRAW:
        return Code.ASKED_TO_STOP, "The capacity was withdrawn by its owner."
    if end.asked is not Asked.NOTHING:
        return Code.ASKED_TO_STOP, "The pilot was asked to stop."
    if end.jobs_run:
        return Code.WORK_DONE, f"The pilot ran {end.jobs_run} jobs."
    if end.denied:
        return (
            Code.BANNED,
            "The hub refused the pilot's token: ask the hub's operator whether the centre was revoked.",
        )
    if not end.token_valid:
        return Code.HUB_BROKEN, "The pilot's token expired and no newer one came: look at the launcher."
    if end.master_status != 0 and end.phase is Phase.WORKING:
        return Code.TRANSIENT, f"condor_master ended with status {end.master_status}."
    if not end.seen_in_pool:
        return Code.HUB_BROKEN, "The pilot never appeared in the pool: the collector did not answer."
    return Code.NO_WORK, "The pilot found no work."
