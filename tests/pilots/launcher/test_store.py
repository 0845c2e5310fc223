"""The launcher's memory."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fallow.errors import NotAvailableError
from fallow.offers import OfferState
from fallow_pilots.halt import Halt, allow, allowed_since, read_halt, set_halt
from fallow_pilots.order import Wish
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.store import Store

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
SOON = NOW + timedelta(minutes=1)
LATER = NOW + timedelta(minutes=9)
PLANNED = PilotRecord("", State.INTENT, 4, 1, 3600, NOW, nodes=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", "alder")


def intended(store: Store) -> PilotRecord:
    record = store.intend(PLANNED)
    assert record is not None
    return record


def test_an_intent_is_remembered_before_anything_else_happens(store: Store, tmp_path: Path) -> None:
    record = intended(store)
    assert Store(tmp_path / "store", "alder").records(LONG_AGO) == [record]
    assert (record.pilot, record.state) == ("alder-1", State.INTENT)


def test_nothing_is_intended_once_the_centre_is_halted(store: Store, tmp_path: Path) -> None:
    set_halt(Store(tmp_path / "store", "alder"), Halt(Wish.WITHDRAW, NOW))
    assert store.intend(PLANNED) is None
    allow(store, NOW)
    assert store.intend(PLANNED) is not None


def test_it_is_remembered_when_a_person_allowed_launches(store: Store) -> None:
    assert allowed_since(store) is None
    allow(store, NOW)
    assert allowed_since(store) == NOW


def test_no_more_is_intended_than_the_pilots_that_were_not_taken_back(store: Store) -> None:
    set_halt(store, Halt(Wish.WITHDRAW, NOW, ceiling=2))
    assert [store.intend(PLANNED) is None for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("halt", [Halt(Wish.DRAIN, NOW), Halt(Wish.WITHDRAW, NOW, SOON, ceiling=3)])
def test_a_halt_is_read_as_it_was_set(store: Store, halt: Halt) -> None:
    assert read_halt(store) is None
    set_halt(store, halt)
    assert read_halt(store) == halt


def test_a_halt_says_what_it_means() -> None:
    assert Halt(Wish.DRAIN, NOW).sentence == "The centre is draining since 2026-03-02 12:00:00 UTC."
    assert Halt(Wish.WITHDRAW, NOW, ceiling=3).sentence == (
        "Pilots were taken back by name at 2026-03-02 12:00:00 UTC: 3 may be here until `fallow pilot resume`."
    )
    assert Halt(Wish.WITHDRAW, NOW, ceiling=3).state is OfferState.OPEN


def test_all_of_a_record_comes_back(store: Store) -> None:
    record = replace(
        intended(store),
        state=State.ENDED,
        native_id="17",
        node="n1",
        started=NOW,
        ended=NOW + timedelta(seconds=1),
        absent_since=NOW,
        code=200,
        reason="Work done.",
        busy_core_s=5,
        jobs_run=2,
    )
    store.update([record])
    assert store.records(LONG_AGO) == [record]


def test_late_news_moves_nothing_back(store: Store) -> None:
    queued = replace(intended(store), state=State.QUEUED, native_id="17")
    running = replace(queued, state=State.RUNNING, started=NOW)
    store.update([running])
    store.update([queued])
    assert store.records(LONG_AGO) == [running]


def test_a_lost_pilot_may_return(store: Store) -> None:
    lost = replace(intended(store), state=State.LOST, ended=NOW)
    back = replace(lost, state=State.RUNNING, started=NOW, ended=None)
    store.update([lost])
    store.update([back])
    assert store.records(LONG_AGO) == [back]


def test_an_order_is_not_undone_by_anothers_news(store: Store) -> None:
    record = intended(store)
    (ordered,) = store.order([record.pilot], Wish.WITHDRAW, NOW, SOON)
    store.update([replace(record, state=State.RUNNING, started=NOW)])
    assert store.records(LONG_AGO) == [replace(ordered, state=State.RUNNING, started=NOW)]
    assert (ordered.asked_to_stop, ordered.wish, ordered.leave_by) == (NOW, Wish.WITHDRAW, SOON)


def test_an_order_only_grows_firmer(store: Store) -> None:
    pilot = intended(store).pilot
    store.order([pilot], Wish.DRAIN, NOW, None)
    store.order([pilot], Wish.WITHDRAW, SOON, LATER)
    store.order([pilot], Wish.DRAIN, LATER, None)
    (last,) = store.order([pilot], Wish.WITHDRAW, LATER, SOON)
    assert (last.asked_to_stop, last.wish, last.leave_by) == (NOW, Wish.WITHDRAW, SOON)
    assert store.order(["alder-99"], Wish.DRAIN, NOW, None) == []


def test_a_state_that_cannot_be_written_is_said_in_a_sentence(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store", isolation_level=None)
    other.execute("DROP TABLE pilots")
    with pytest.raises(NotAvailableError, match=r"Cannot write the launcher's state: no such table"):
        store.intend(PLANNED)
    other.close()


def test_old_pilots_are_forgotten_and_their_serials_not_used_again(store: Store) -> None:
    store.update([replace(intended(store), state=State.ENDED, ended=NOW - timedelta(days=1))])
    assert store.forget(NOW) == ["alder-1"]
    assert store.records(LONG_AGO) == []
    assert intended(store).pilot == "alder-2"


def test_an_adopted_pilot_keeps_its_serial_to_itself(store: Store) -> None:
    stranger = PilotRecord("alder-41", State.RUNNING, 4, 0, 3600, NOW, started=NOW)
    store.adopt(stranger)
    store.adopt(stranger)
    assert [record.pilot for record in store.records(LONG_AGO)] == ["alder-41"]
    assert intended(store).pilot == "alder-42"


def test_a_nodes_idle_time_starts_anew_when_it_was_busy(store: Store) -> None:
    store.saw_idle(["n1", "n2"], NOW)
    store.saw_idle(["n1"], NOW + timedelta(seconds=10))
    store.saw_idle(["n1", "n2"], NOW + timedelta(seconds=20))
    assert store.idle_since() == {"n1": NOW, "n2": NOW + timedelta(seconds=20)}


def test_a_state_that_cannot_be_used_is_said_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("this is no database, and it is long enough to be taken for one" * 20)
    with pytest.raises(NotAvailableError, match=r"Cannot use the launcher's state .* Check state_dir"):
        Store(tmp_path / "store", "alder")


def test_the_state_of_an_earlier_release_is_brought_up_to_date(store: Store, tmp_path: Path) -> None:
    record = intended(store)
    store.close()
    with sqlite3.connect(tmp_path / "store") as database:
        database.execute("ALTER TABLE pilots DROP COLUMN account")
    again = Store(tmp_path / "store", "alder")
    assert again.records(LONG_AGO) == [record]
