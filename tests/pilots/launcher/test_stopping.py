"""Taking capacity back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fallow.errors import NotAvailableError
from fallow_pilots.batch.model import Stop
from fallow_pilots.credentials import Joining
from fallow_pilots.halt import Halt, set_halt
from fallow_pilots.order import Order, Wish, read_order
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.stopping import Progress, StillHeldError, Stopper, eviction_s, firmness
from fallow_pilots.watch import KEPT, View, Watch

EVICT_S = 30.0
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallow_pilots.stopping.POLL_S", 0.01)


@pytest.fixture
def stopper(centre: TestCentre) -> Stopper:
    centre.launcher.cycle(60)
    return make_stopper(centre)


def make_stopper(centre: TestCentre, watch: Watch | None = None) -> Stopper:
    watch = watch or centre.launcher.watch
    return Stopper(watch, centre.batch, centre.store, centre.layout, EVICT_S, centre.clock)


def signals(centre: TestCentre) -> list[list[str]]:
    return [job.get("signals", []) for job in centre.slurm.jobs.values()]


def quiet(progress: Progress) -> None:
    """Take no note of how far it is."""


def test_running_pilots_are_asked_to_drain_and_gone_when_the_batch_system_says_so(
    centre: TestCentre, stopper: Stopper
) -> None:
    told: list[Progress] = []
    stopper.until_gone(None, 600, 60, told.append)
    assert signals(centre) == [["USR1"]] * 3
    assert [(progress.running, progress.queued) for progress in told] == [(3, 0), (0, 0)]


def test_queued_pilots_are_cancelled_and_not_drained(centre: TestCentre) -> None:
    centre.slurm.set(held=True)
    centre.launcher.cycle(60)
    make_stopper(centre).until_gone(None, 600, 60, quiet)
    assert signals(centre) == [["cancel"]] * 3


def test_pilots_that_obey_nothing_are_removed_at_the_deadline(centre: TestCentre, stopper: Stopper) -> None:
    centre.slurm.set(obeyed=[])
    stopper.until_gone(None, 10, 60, lambda progress: centre.wait(10))
    assert signals(centre) == [["TERM", "cancel"]] * 3


def test_a_batch_system_that_never_confirms_is_waited_for_no_longer_than_said(
    centre: TestCentre, stopper: Stopper
) -> None:
    centre.slurm.fails("scancel", code=1, complains="down\n")
    with pytest.raises(
        StillHeldError, match=r"not free after [0-9]+ s. Not gone yet: alder-1 \(job 1, running on n1\)"
    ) as caught:
        stopper.until_gone(None, 0, 0, quiet)
    assert caught.value.exit_code == 5
    centre.slurm.works()
    centre.launcher.cycle(60)
    assert signals(centre)[:3] == [["cancel"]] * 3, "the launcher goes on"


@pytest.mark.parametrize(
    ("elapsed_s", "deadline_s", "how"),
    [
        (0, 600, Stop.DRAIN),
        (600 - EVICT_S - 1, 600, Stop.DRAIN),
        (600 - EVICT_S, 600, Stop.EVICT),
        (600, 600, Stop.KILL),
        (0, 20, Stop.EVICT),
        (20, 20, Stop.KILL),
        (0, 0, Stop.KILL),
        (9999, None, Stop.DRAIN),
    ],
)
def test_asking_grows_firmer_towards_the_deadline(
    elapsed_s: float, deadline_s: float | None, how: Stop
) -> None:
    leave_by = None if deadline_s is None else START + timedelta(seconds=deadline_s)
    assert firmness(START + timedelta(seconds=elapsed_s), leave_by, EVICT_S) is how


def test_a_pilot_has_time_to_give_its_work_back_before_it_is_removed() -> None:
    assert [eviction_s(grace_s) for grace_s in (5, 60, 3600)] == [22, 50, 80]


def test_a_drain_waits_for_a_pilot_that_is_just_being_submitted(centre: TestCentre, stopper: Stopper) -> None:
    lot = centre.launcher.decide(centre.launcher.look(), Joining(None, None, None)).main.lot
    record = centre.store.intend(PilotRecord("", State.INTENT, 4, 0, 3600, centre.now))
    assert record is not None
    pilot = record.pilot
    looks: list[int] = []

    class Slow(Watch):
        def pilots(self) -> View:
            looks.append(1)
            if len(looks) == 3:
                centre.batch.submit(centre.launcher.job(pilot, lot, None))
            return centre.launcher.watch.pilots()

    slow = Slow(centre.policy, centre.batch, centre.store, centre.hub.report)
    left = make_stopper(centre, slow).drain(None, None)
    assert "alder-4" in {pilot.pilot for pilot in left}
    assert signals(centre) == [["USR1"]] * 4


def test_a_pilot_finds_out_why_it_is_stopped(centre: TestCentre, stopper: Stopper) -> None:
    leave_by = centre.now + timedelta(seconds=600)
    stopper.ask({"alder-2"}, Wish.WITHDRAW, leave_by)
    orders = [read_order(centre.layout.outcome(f"alder-{serial}")) for serial in (1, 2)]
    assert orders == [None, Order(wish=Wish.WITHDRAW, leave_by=leave_by)]


def test_a_withdrawal_whose_command_was_killed_is_finished_by_the_launcher(centre: TestCentre) -> None:
    centre.launcher.cycle(60)
    centre.slurm.set(obeyed=["TERM"])
    leave_by = centre.now + timedelta(seconds=600)
    set_halt(centre.store, Halt(Wish.WITHDRAW, centre.now, leave_by))
    centre.launcher.cycle(60)
    assert signals(centre) == [["USR1"]] * 3
    centre.wait(599)
    centre.launcher.cycle(60)
    centre.launcher.cycle(60)
    assert signals(centre) == [["USR1", "TERM"]] * 3
    assert not [record for record in centre.store.records(centre.now - KEPT) if record.active]


def test_pilots_that_turn_up_after_a_withdrawal_are_stopped_as_well(centre: TestCentre) -> None:
    set_halt(centre.store, Halt(Wish.WITHDRAW, centre.now, centre.now))
    lot = centre.launcher.decide(centre.launcher.look(), Joining(None, None, None)).main.lot
    centre.batch.submit(centre.launcher.job("alder-77", lot, None))
    centre.launcher.cycle(60)
    assert signals(centre) == [["cancel"]]


def test_a_state_directory_without_room_does_not_keep_the_capacity(
    centre: TestCentre, stopper: Stopper
) -> None:
    shutil.rmtree(centre.layout.pilots)
    stopper.until_gone(None, 600, 60, quiet)
    assert signals(centre) == [["USR1"]] * 3


def test_only_the_pilots_named_are_taken_back(centre: TestCentre, stopper: Stopper) -> None:
    stopper.until_gone({"alder-2"}, 600, 60, quiet)
    assert signals(centre) == [[], ["USR1"], []]


def test_a_pilot_is_not_asked_again_at_every_look(centre: TestCentre, stopper: Stopper) -> None:
    centre.slurm.set(obeyed=[])
    for _ in range(3):
        stopper.ask(None, Wish.DRAIN, None)
    assert signals(centre) == [["USR1"]] * 3


def test_pilots_taken_back_do_not_make_the_launcher_slow_down(centre: TestCentre, stopper: Stopper) -> None:
    stopper.until_gone(None, 600, 60, quiet)
    assert centre.launcher.cycle(60).launched == 3


def test_a_batch_system_that_does_not_answer_stops_nothing(centre: TestCentre, stopper: Stopper) -> None:
    centre.slurm.fails("squeue", code=1, complains="down\n")
    with pytest.raises(NotAvailableError, match="The batch system does not answer: squeue failed"):
        stopper.ask(None, Wish.WITHDRAW, centre.now)
    assert signals(centre) == [[]] * 3


def test_a_withdrawal_goes_on_when_the_batch_system_answers_again(
    centre: TestCentre, stopper: Stopper
) -> None:
    centre.slurm.fails("scancel", code=1, complains="down\n")
    stopper.until_gone(None, 600, 60, lambda progress: centre.slurm.works())
    assert signals(centre) == [["USR1"]] * 3


def test_nothing_starts_while_a_withdrawal_waits(centre: TestCentre, stopper: Stopper) -> None:
    set_halt(centre.store, Halt(Wish.WITHDRAW, centre.now))
    centre.slurm.set(nodes=9)
    assert centre.launcher.cycle(60).launched == 0


def test_a_withdrawal_in_the_middle_of_a_cycle_stops_the_rest_of_it(
    centre: TestCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit: Callable[..., str] = centre.batch.submit

    def submit_then_withdraw(job: object) -> str:
        native_id = submit(job)
        set_halt(centre.store, Halt(Wish.WITHDRAW, centre.now))
        return native_id

    monkeypatch.setattr(centre.batch, "submit", submit_then_withdraw)
    assert centre.launcher.cycle(60).launched == 1
    assert len(centre.store.records(centre.now - KEPT)) == 1
