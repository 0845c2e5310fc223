"""Taking capacity back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from fallow.errors import NotAvailableError
from fallow.offers import OfferState
from fallow_pilots.batch.model import Stop
from fallow_pilots.credentials import Joining
from fallow_pilots.halt import Halt, set_halt
from fallow_pilots.launcher import KEPT, View
from fallow_pilots.stopping import Progress, Stopper, eviction_s, firmness

EVICT_S = 30.0

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallow_pilots.stopping.POLL_S", 0.01)


@pytest.fixture
def stopper(centre: TestCentre) -> Stopper:
    centre.launcher.cycle(60)
    return Stopper(centre.launcher.look, centre.batch, centre.store, EVICT_S)


def signals(centre: TestCentre) -> list[list[str]]:
    return [job.get("signals", []) for job in centre.slurm.jobs.values()]


def quiet(progress: Progress) -> None:
    """Take no note of how far it is."""


def test_running_pilots_are_asked_to_drain_and_gone_when_the_batch_system_says_so(
    centre: TestCentre, stopper: Stopper
) -> None:
    told: list[Progress] = []
    stopper.until_gone(None, 600, told.append)
    assert signals(centre) == [["USR1"]] * 3
    assert [(progress.running, progress.queued) for progress in told] == [(3, 0), (0, 0)]


def test_queued_pilots_are_cancelled_and_not_drained(centre: TestCentre) -> None:
    centre.slurm.set(held=True)
    centre.launcher.cycle(60)
    Stopper(centre.launcher.look, centre.batch, centre.store, EVICT_S).until_gone(None, 600, quiet)
    assert signals(centre) == [["cancel"]] * 3


def test_pilots_that_obey_nothing_are_removed_at_the_deadline(centre: TestCentre, stopper: Stopper) -> None:
    centre.slurm.set(obeyed=[])
    stopper.until_gone(None, 1.0, quiet)
    assert signals(centre) == [["TERM", "cancel"]] * 3


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
    ],
)
def test_asking_grows_firmer_towards_the_deadline(elapsed_s: float, deadline_s: float, how: Stop) -> None:
    assert firmness(elapsed_s, deadline_s, EVICT_S) is how


def test_a_pilot_has_time_to_give_its_work_back_before_it_is_removed() -> None:
    assert [eviction_s(grace_s) for grace_s in (5, 60, 3600)] == [22, 50, 80]


def test_a_drain_waits_for_a_pilot_that_is_just_being_submitted(centre: TestCentre, stopper: Stopper) -> None:
    record = centre.store.intend(centre.now, 4, 0, 3600)
    assert record is not None
    looks: list[int] = []

    def look() -> View:
        looks.append(1)
        if len(looks) == 3:
            path = centre.layout.script(record.pilot)
            job = centre.launcher.job(record.pilot, centre.launcher.decide(centre.launcher.look(), joining))
            path.parent.mkdir()
            centre.batch.submit(job)
        return centre.launcher.look()

    joining = Joining(None, None, None)
    left = Stopper(look, centre.batch, centre.store, EVICT_S).drain(None)
    assert "alder-4" in {pilot.pilot for pilot in left}
    assert signals(centre) == [["USR1"]] * 4


def test_only_the_pilots_named_are_taken_back(centre: TestCentre, stopper: Stopper) -> None:
    stopper.until_gone({"alder-2"}, 600, quiet)
    assert signals(centre) == [[], ["USR1"], []]


def test_a_pilot_is_not_asked_again_at_every_look(centre: TestCentre, stopper: Stopper) -> None:
    centre.slurm.set(obeyed=[])
    for _ in range(3):
        stopper.ask(None, Stop.DRAIN)
    assert signals(centre) == [["USR1"]] * 3


def test_pilots_taken_back_do_not_make_the_launcher_slow_down(centre: TestCentre, stopper: Stopper) -> None:
    stopper.until_gone(None, 600, quiet)
    assert centre.launcher.cycle(60).launched == 3


def test_a_batch_system_that_does_not_answer_stops_nothing(centre: TestCentre, stopper: Stopper) -> None:
    centre.slurm.fails("squeue", code=1, complains="down\n")
    with pytest.raises(NotAvailableError, match="The batch system does not answer: squeue failed"):
        stopper.ask(None, Stop.KILL)
    assert signals(centre) == [[]] * 3


def test_a_withdrawal_goes_on_when_the_batch_system_answers_again(
    centre: TestCentre, stopper: Stopper
) -> None:
    centre.slurm.fails("scancel", code=1, complains="down\n")
    looks: list[int] = []
    look = centre.launcher.look

    def looked() -> object:
        looks.append(1)
        if len(looks) == 3:
            centre.slurm.works()
        return look()

    Stopper(looked, centre.batch, centre.store, EVICT_S).until_gone(None, 600, quiet)  # type: ignore[arg-type]
    assert signals(centre) == [["USR1"]] * 3


def test_nothing_starts_while_a_withdrawal_waits(centre: TestCentre, stopper: Stopper) -> None:
    set_halt(centre.store, Halt(OfferState.WITHDRAWN, centre.now))
    centre.slurm.set(nodes=9)
    assert centre.launcher.cycle(60).launched == 0


def test_a_withdrawal_in_the_middle_of_a_cycle_stops_the_rest_of_it(
    centre: TestCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit: Callable[..., str] = centre.batch.submit

    def submit_then_withdraw(job: object) -> str:
        native_id = submit(job)
        set_halt(centre.store, Halt(OfferState.WITHDRAWN, centre.now))
        return native_id

    monkeypatch.setattr(centre.batch, "submit", submit_then_withdraw)
    assert centre.launcher.cycle(60).launched == 1
    assert len(centre.store.records(centre.now - KEPT)) == 1
