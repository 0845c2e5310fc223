"""A pool of HTCondor: its commands, and answers recorded from a real one; the odd ones above all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.pilots.batch.jobs import batch_job

from fallow_pilots.batch import htcondor_answers as answers
from fallow_pilots.batch.htcondor import HTCondor, script_text, submit_argv
from fallow_pilots.batch.model import BatchError, JobStatus, Node, Phase, Stop
from fallow_pilots.policy import Batch

if TYPE_CHECKING:
    from tests.pilots.batch.conftest import Recorded

PREFIX = "fallow-elm-"
SETTINGS = Batch(system="htcondor")
job = partial(batch_job, "elm-7")


@pytest.fixture
def system() -> str:
    return "htcondor"


@pytest.fixture
def pool() -> HTCondor:
    return HTCondor(SETTINGS, PREFIX)


@pytest.fixture
def busy(recorded: Recorded) -> Recorded:
    """A schedd with the recorded jobs."""
    recorded.answers("condor_q", "-json", name="queue.json")
    recorded.answers("condor_vacate_job")
    recorded.answers("condor_rm")
    return recorded


@pytest.fixture
def empty(recorded: Recorded) -> Recorded:
    """A schedd without jobs of ours."""
    recorded.answers("condor_q", "-json")
    recorded.answers("condor_q", "-totals", name="totals.txt")
    return recorded


def described(settings: Batch = SETTINGS, **more: object) -> dict[str, str]:
    """The submit description in the arguments."""
    argv = submit_argv(settings, job(**more))  # type: ignore[arg-type]
    assert argv[:2] == ["condor_submit", "-terse"]
    assert argv[-3:] == ["/dev/null", "-queue", "1"]
    pairs = (word.partition("=")[::2] for word in argv[2:-3])
    return dict(pairs)


def test_a_pilot_takes_no_environment_along_and_no_files() -> None:
    found = described()
    assert found["getenv"] == "False"
    assert found["should_transfer_files"] == "NO"
    assert found["executable"] == "/srv/fallow/pilots/elm-7/pilot.sh"


def test_a_pilot_asks_for_its_shape() -> None:
    found = described(gpus=2, gpu_model="NVIDIA A100-SXM4-40GB")
    assert (found["request_cpus"], found["request_memory"], found["request_gpus"]) == ("4", "2000M", "2")
    assert found["require_gpus"] == 'DeviceName == "NVIDIA A100-SXM4-40GB"'
    assert "request_gpus" not in described()


def test_a_pilot_never_starts_twice() -> None:
    found = described()
    assert found["requirements"] == "(NumJobStarts =?= undefined || NumJobStarts == 0)"
    assert f"(JobStatus == 1 && !{found['requirements']})" in found["periodic_remove"]


def test_a_pilot_ends_with_its_walltime_and_is_not_started_too_late() -> None:
    closes = datetime(2026, 11, 21, 18, tzinfo=UTC)
    removed = described(deadline=closes)["periodic_remove"]
    assert "(JobStatus == 2 && time() - JobCurrentStartDate > 3600)" in removed
    assert f"(JobStatus == 1 && time() > {int(closes.timestamp()) - 3600})" in removed


def test_the_policys_account_and_requirements_are_passed_on() -> None:
    found = described(Batch(system="htcondor", account="group_guest", requirements="HasScratch =?= true"))
    assert found["accounting_group"] == "group_guest"
    assert found["requirements"].endswith(" && (HasScratch =?= true)")


def test_a_path_is_never_a_macro() -> None:
    assert described(folder=Path("/srv/$(HOME)"))["output"] == "/srv/$(DOLLAR)(HOME)/pilot.log"


def test_the_job_id_is_found_in_what_condor_submit_says(pool: HTCondor, recorded: Recorded) -> None:
    recorded.answers("condor_submit", says="Your project has 3 TB left\n12.0 - 12.0\n")
    assert pool.submit(job()) == "12.0"


@pytest.mark.parametrize(
    "text", ["", "12.0 - 12.1\n", "Submitting job(s).\n1 job(s) submitted to cluster 12.\n"]
)
def test_without_a_job_id_the_submission_is_in_doubt(text: str) -> None:
    with pytest.raises(BatchError, match="condor_submit printed no job id"):
        answers.parse_submit(text)


def found(pool: HTCondor) -> dict[str, JobStatus]:
    return {job.name: job for job in pool.status([])}


def test_jobs_are_read_with_their_phase_start_and_machine(pool: HTCondor, busy: Recorded) -> None:
    jobs = found(pool)
    assert jobs["fallow-elm-5"] == JobStatus(
        "fallow-elm-5", "6.0", Phase.RUNNING, "running", datetime.fromtimestamp(1795261144, tz=UTC), "elm-2"
    )
    assert (jobs["fallow-elm-77"].phase, jobs["fallow-elm-77"].started) == (Phase.QUEUED, None)


def test_a_job_that_was_evicted_has_ended_though_it_is_idle_again(pool: HTCondor, busy: Recorded) -> None:
    assert found(pool)["fallow-elm-3"].phase is Phase.ENDED


def test_a_held_job_has_ended_if_it_ever_started(pool: HTCondor, busy: Recorded) -> None:
    jobs = found(pool)
    assert jobs["fallow-elm-78"].phase is Phase.QUEUED
    assert jobs["fallow-elm-10"].phase is Phase.ENDED
    assert "Failed to open" in jobs["fallow-elm-10"].detail


def test_a_job_holds_its_slot_while_it_is_removed_or_suspended(pool: HTCondor, busy: Recorded) -> None:
    jobs = found(pool)
    assert {jobs["fallow-elm-4"].phase, jobs["fallow-elm-9"].phase} == {Phase.RUNNING}


def test_a_start_that_makes_no_sense_is_none(pool: HTCondor, busy: Recorded) -> None:
    assert found(pool)["fallow-elm-11"].started is None


def test_jobs_of_larger_clusters_and_nameless_ones_are_left_out(pool: HTCondor, busy: Recorded) -> None:
    assert not {"fallow-elm-12", "fallow-elm-14"} & set(found(pool))


def test_an_empty_queue_is_confirmed_by_the_schedd(pool: HTCondor, empty: Recorded) -> None:
    assert pool.status([]) == []


def test_an_empty_answer_that_no_schedd_confirms_is_no_answer(pool: HTCondor, empty: Recorded) -> None:
    empty.answers("condor_q", "-totals")
    with pytest.raises(BatchError, match="no schedd confirms it"):
        pool.status([])


def test_a_schedd_that_is_away_is_an_error_with_what_was_said(pool: HTCondor, recorded: Recorded) -> None:
    recorded.answers("condor_q", "-json", says="Error:\n\nExtra Info: the schedd is down\n", code=1)
    with pytest.raises(BatchError, match="condor_q failed with exit code 1: Extra Info: the schedd is down"):
        pool.status([])


@pytest.mark.parametrize("text", ["{", "{}", "[1]", "-- Failed to fetch ads from: <10.77.1.1:9618>\n"])
def test_an_answer_that_is_no_list_of_ads_is_no_answer(text: str) -> None:
    for parse in (answers.parse_jobs, answers.parse_slots):
        with pytest.raises(BatchError, match="gave no usable answer"):
            parse(text)


def test_a_pilot_that_left_the_queue_is_looked_up_in_the_history(pool: HTCondor, empty: Recorded) -> None:
    empty.answers("condor_history", name="history.json")
    ended = {job.name: job for job in pool.status(["fallow-elm-1", "fallow-elm-3"])}
    assert {job.phase for job in ended.values()} == {Phase.ENDED}
    assert ended["fallow-elm-1"].detail == "completed"
    assert ended["fallow-elm-3"].detail.startswith("removed (The job attribute PeriodicRemove")


def test_an_id_that_is_unknown_for_ever_is_not_reported(pool: HTCondor, empty: Recorded) -> None:
    empty.answers("condor_history")
    assert pool.status(["fallow-elm-99"]) == []


def test_a_history_that_cannot_be_read_is_as_if_it_were_empty(pool: HTCondor, empty: Recorded) -> None:
    empty.answers("condor_history", says="Error opening history file\n", code=1)
    assert pool.status(["fallow-elm-3"]) == []


def slots(pool: HTCondor, recorded: Recorded, name: str) -> dict[str, Node]:
    recorded.answers("condor_status", name=name)
    return {node.name: node for node in pool.spare(count_waiting=False, partitions=()).nodes}


def test_a_partitionable_slot_has_what_its_jobs_leave(pool: HTCondor, recorded: Recorded) -> None:
    nodes = slots(pool, recorded, "slots-partitionable.json")
    assert nodes == {
        "elm-1": Node("elm-1", 4, 6000, 0, idle=True),
        "elm-2": Node("elm-2", 2, 3952, 0, idle=False),
    }


def test_each_static_slot_that_is_unclaimed_has_room(pool: HTCondor, recorded: Recorded) -> None:
    nodes = slots(pool, recorded, "slots-odd.json")
    assert nodes["slot2@oak-6"] == Node("slot2@oak-6", 2, 3000, 0, idle=False)
    assert nodes["oak-7"].idle
    assert "slot1@oak-6" not in nodes


def test_machines_that_take_no_job_are_not_spare(pool: HTCondor, recorded: Recorded) -> None:
    nodes = slots(pool, recorded, "slots-odd.json")
    assert sorted(nodes) == ["oak-1", "oak-7", "oak-8", "slot2@oak-6"]
    assert (nodes["oak-8"].cores_free, nodes["oak-8"].memory_mb_free) == (0, 0)


def test_gpus_are_known_by_their_model(pool: HTCondor, recorded: Recorded) -> None:
    node = slots(pool, recorded, "slots-odd.json")["oak-1"]
    assert (node.gpus_free, node.gpus_free_of("NVIDIA A100-SXM4-40GB")) == (2, 2)


def test_a_pool_without_machines_is_no_answer(pool: HTCondor, recorded: Recorded) -> None:
    recorded.answers("condor_status")
    with pytest.raises(BatchError, match="condor_status names no machine"):
        pool.spare(count_waiting=False, partitions=())


def test_only_machines_that_meet_the_policys_requirements_are_asked_for(recorded: Recorded) -> None:
    recorded.answers("condor_status", name="slots-partitionable.json")
    settings = Batch(system="htcondor", requirements="HasScratch =?= true")
    HTCondor(settings, PREFIX).spare(count_waiting=False, partitions=())
    assert recorded.calls[-1].endswith('-constraint SlotType =!= "Dynamic" && (HasScratch =?= true)')


def test_waiting_jobs_are_those_of_others(pool: HTCondor, empty: Recorded) -> None:
    empty.answers("condor_status", name="slots-partitionable.json")
    assert pool.spare(count_waiting=True, partitions=()).waiting == 0
    empty.answers("condor_q", "-allusers", says='[\n{"ClusterId": 1}\n,\n{"ClusterId": 2}\n]\n')
    assert pool.spare(count_waiting=True, partitions=()).waiting == 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Stop.DRAIN, []),
        (Stop.EVICT, ["condor_vacate_job 6.0"]),
        (Stop.KILL, ["condor_vacate_job -fast 6.0", "condor_rm 6.0 7.0"]),
    ],
)
def test_running_jobs_are_vacated_and_any_is_removed(
    pool: HTCondor, busy: Recorded, how: Stop, said: list[str]
) -> None:
    pool.stop(["6.0", "7.0", "999.0"], how)
    assert [call for call in busy.calls if not call.startswith("condor_q")] == said


def test_a_job_that_ended_meanwhile_is_no_error(pool: HTCondor, busy: Recorded) -> None:
    busy.answers("condor_vacate_job", says="Job 6.0 not found\n", code=1)
    pool.stop(["6.0"], Stop.KILL)
    assert busy.calls[-1] == "condor_rm 6.0"


PILOT = """#!/bin/sh
trap 'echo drain; exit 3' USR1
trap 'echo evict; exit 4' TERM
echo ready
while :; do sleep 0.05; done
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A batch script whose pilot says what it is told."""
    folder = tmp_path / "it's elm-7"
    folder.mkdir()
    command = tmp_path / "node"
    command.write_text(PILOT)
    command.chmod(0o755)
    path = folder / "pilot.sh"
    path.write_text(script_text(job(folder, node_command=command)))
    return path


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def start(script: Path) -> subprocess.Popen[bytes]:
    log = script.with_name("pilot.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(["/bin/sh", str(script)], stdout=stream, start_new_session=True)
    until(lambda: "ready" in log.read_text())
    return process


def test_the_script_hands_an_eviction_on_and_ends_as_the_pilot_does(script: Path) -> None:
    process = start(script)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 4
    assert script.with_name("pilot.log").read_text().split() == ["ready", "evict"]


def test_the_script_drains_the_pilot_when_an_order_appears(script: Path) -> None:
    script.with_name("order.json").write_text("{}")
    process = start(script)
    assert process.wait(30) == 3
    assert script.with_name("pilot.log").read_text().split() == ["ready", "drain"]
