"""Each run is in the ledger once, whatever happens to the files, the clock and the processes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fallow.rules import Rules
from fallow_matcher import ledger
from fallow_matcher.ledger import Ingested, Outcome, history

from .conftest import EVICTED, NOW, Hub, epoch_ad, job_ad, text


def outcomes(hub: Hub) -> list[str]:
    return [row.outcome for row in hub.runs()]


def test_a_run_is_charged_as_it_starts_and_settled_as_it_ends(hub: Hub) -> None:
    assert hub.look(job_ad(start=NOW)) == Ingested(started=1)
    assert hub.balance("north") == pytest.approx(-1200)
    hub.now = NOW + 100
    hub.write(epoch_ad(start=NOW, wall_s=100))
    assert hub.look() == Ingested(ended=1)
    assert hub.balance("north") == pytest.approx(-200)
    assert hub.balance("south") == pytest.approx(200)


def test_a_run_is_known_again_after_a_reconnect(hub: Hub) -> None:
    hub.look(job_ad(NumShadowStarts=1))
    hub.write(epoch_ad(NumShadowStarts=3))
    hub.look()
    assert outcomes(hub) == [Outcome.DONE]


def test_a_job_that_returns_to_the_queue_has_a_line_for_each_run(hub: Hub) -> None:
    hub.write(epoch_ad(run=1, **EVICTED), epoch_ad(run=2, start=NOW - 500, MachineAttrFallowCentre0="east"))
    hub.look()
    assert [(row.run, row.provider, row.outcome) for row in hub.runs()] == [
        (1, "south", "evicted"),
        (2, "east", "done"),
    ]


def test_looking_again_says_nothing_new(hub: Hub) -> None:
    hub.write(epoch_ad(1), epoch_ad(2))
    hub.look()
    before, balance = hub.runs(), hub.balance("north")
    assert hub.look() == Ingested()
    assert (hub.runs(), hub.balance("north")) == (before, balance)


def test_of_two_queues_each_tells_of_its_own_runs(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = Hub(hub.engine, hub.spool, hub.rules, queue="queue@hub")
    second = Hub(hub.engine, tmp_path / "other", hub.rules, queue="queue@hub2")
    other: dict[str, Any] = {"GlobalJobId": "queue@hub2#1000000001.0#1794990000"}
    first.write(epoch_ad(1))
    second.write(epoch_ad(1_000_000_001, **other))
    assert first.look(job_ad(2)) == Ingested(started=2, ended=1)
    assert second.look(job_ad(1_000_000_002, GlobalJobId="queue@hub2#1000000002.0#1794990000")) == Ingested(
        started=2, ended=1
    )
    assert first.look(job_ad(2)) == Ingested()
    assert first.look() == Ingested(lost=1)
    assert outcomes(hub) == [Outcome.DONE, Outcome.LOST, Outcome.DONE, Outcome.RUNNING]


def test_a_copy_of_the_file_gives_nothing_twice(hub: Hub) -> None:
    hub.write(epoch_ad(1), epoch_ad(2))
    hub.look()
    balance = hub.balance("north")
    shutil.copy(hub.spool / "epoch_history", hub.spool / "epoch_history.20261121T000000")
    assert hub.look() == Ingested(known=2)
    assert (len(hub.runs()), hub.balance("north")) == (2, balance)


def test_a_rotated_file_is_read_on_where_it_was_left(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    hub.look()
    (hub.spool / "epoch_history").rename(hub.spool / "epoch_history.20261121T000000")
    hub.write(epoch_ad(2), name="epoch_history.20261121T000000")
    hub.write(epoch_ad(3))
    assert hub.look() == Ingested(started=2, ended=2)


def test_a_file_that_begins_anew_is_read_from_its_beginning(hub: Hub) -> None:
    hub.write(epoch_ad(1), epoch_ad(2))
    hub.look()
    (hub.spool / "epoch_history").write_text("")
    hub.write(epoch_ad(3))
    assert hub.look().ended == 1
    assert len(hub.runs()) == 3


def test_another_file_in_the_place_of_one_that_was_read_is_read_whole(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    hub.look()
    # The same inode, and longer than what was read.
    with (hub.spool / "epoch_history").open("r+") as stream:
        stream.write(text([epoch_ad(2), epoch_ad(3), epoch_ad(4)]))
    assert hub.look().ended == 3


def test_half_a_record_waits_for_its_other_half(hub: Hub) -> None:
    hub.write(epoch_ad(1))
    whole = (hub.spool / "epoch_history").read_bytes()
    (hub.spool / "epoch_history").write_bytes(whole[:-40])
    assert hub.look() == Ingested()
    (hub.spool / "epoch_history").write_bytes(whole)
    assert hub.look() == Ingested(started=1, ended=1)


def test_the_history_of_finished_jobs_tells_what_no_shadow_wrote(hub: Hub) -> None:
    hub.look(job_ad(1))
    hub.write(epoch_ad(1) | {"CompletionDate": NOW - 900}, name="history", banner="Offset = 0")
    assert hub.look() == Ingested(ended=1)
    hub.write(epoch_ad(1))
    assert hub.look() == Ingested(known=1)
    assert outcomes(hub) == [Outcome.DONE]


def test_a_run_that_holds_no_slot_and_left_no_record_is_lost_and_charged_nothing(hub: Hub) -> None:
    hub.write(epoch_ad(9))
    hub.look(job_ad(1), job_ad(2))
    assert hub.look(job_ad(2)) == Ingested(lost=1)
    assert outcomes(hub) == [Outcome.LOST, Outcome.RUNNING, Outcome.DONE]
    assert hub.balance("north") == pytest.approx(-1200 - 200, rel=0.01)


def test_nothing_is_lost_where_the_queue_did_not_answer(hub: Hub) -> None:
    hub.write(epoch_ad(9))
    hub.look(job_ad(1))
    assert hub.look(answers=False) == Ingested()


def test_nothing_is_lost_where_no_shadow_ever_wrote_a_record(hub: Hub) -> None:
    hub.look(job_ad(1))
    assert hub.look() == Ingested()


def test_a_record_that_comes_late_corrects_a_loss(hub: Hub) -> None:
    hub.write(epoch_ad(9))
    hub.look(job_ad(1))
    hub.look()
    hub.write(epoch_ad(1, wall_s=100))
    assert hub.look() == Ingested(ended=1)
    assert outcomes(hub) == [Outcome.DONE, Outcome.DONE]
    assert hub.balance("north") == pytest.approx(-400, rel=0.01)


def test_a_run_that_was_taken_for_lost_but_goes_on_runs_again(hub: Hub) -> None:
    hub.write(epoch_ad(9, FallowUserCentre="south"))
    hub.look(job_ad(1))
    hub.look()
    assert hub.look(job_ad(1)) == Ingested()
    assert outcomes(hub) == [Outcome.RUNNING, Outcome.DONE]
    assert hub.balance("north") == pytest.approx(-1200, rel=0.01)


@pytest.mark.parametrize("step", range(1, 12))
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    hub.write(epoch_ad(1), epoch_ad(2, **EVICTED), epoch_ad(3))
    left = step

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return call(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        module = ledger.ingest.__globals__
        for name in ("_batch", "_update", "record", "_lost", "_row"):
            patch.setitem(module, name, dying(module[name]))
        for name in ("passed", "next_piece", "forget", "rotate"):
            patch.setattr(history, name, dying(getattr(history, name)))
        with contextlib.suppress(KeyboardInterrupt):
            hub.look(job_ad(4))
    hub.look(job_ad(4))
    assert outcomes(hub) == ["done", "evicted", "done", "running"]
    assert hub.balance("north") == pytest.approx(-400 - 1200, rel=0.01)


def test_two_matchers_that_look_at_once_double_nothing(hub: Hub) -> None:
    hub.write(*(epoch_ad(number) for number in range(1, 300)))
    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(hub.look) for _ in range(2)]
        seen = [look.result() for look in looks]
    assert sum(each.ended for each in seen) == len(hub.runs()) == 299
    assert hub.balance("north") == pytest.approx(-299 * 200, rel=0.01)


def test_a_value_keeps_the_factor_that_it_was_charged_by(hub: Hub, rules: Callable[..., Rules]) -> None:
    hub.look(job_ad(1))
    hub.rules = rules(benchmark={"south": 3.0}, half_life_s=hub.rules.half_life_s)
    hub.write(epoch_ad(1, wall_s=100), epoch_ad(2, wall_s=100))
    hub.look()
    assert [row.value for row in hub.runs()] == [200, 600]


def test_a_run_belongs_to_the_month_that_it_ended_in_and_to_no_other(hub: Hub) -> None:
    edge = 1_796_083_200  # 2026-12-01T00:00:00Z
    hub.now = edge + 100
    hub.write(epoch_ad(1, start=edge - 10, wall_s=10), epoch_ad(2, start=edge - 10, wall_s=9))
    hub.look()
    assert [row.ended for row in hub.runs()] == [edge, edge - 1]


def test_a_long_history_is_rotated_and_every_record_read(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ROTATE_BYTES", 2000)
    monkeypatch.setattr(history, "CHUNK_BYTES", 1000)
    hub.write(*(epoch_ad(number) for number in range(1, 20)))
    hub.look()
    assert not (hub.spool / "epoch_history").exists()
    hub.write(epoch_ad(20))
    hub.look()
    assert len(hub.runs()) == 20


def test_a_rotated_file_goes_when_it_was_read_long_ago(hub: Hub) -> None:
    hub.write(epoch_ad(1), name="epoch_history.20261101T000000")
    hub.look()
    hub.now += history.KEEP_S - 1
    hub.look()
    assert (hub.spool / "epoch_history.20261101T000000").exists()
    hub.now += 2
    hub.look()
    assert not (hub.spool / "epoch_history.20261101T000000").exists()
    assert len(hub.runs()) == 1
