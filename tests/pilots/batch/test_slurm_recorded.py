"""What Slurm answered, recorded; the odd answers above all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.pilots.batch.jobs import batch_job as job

from fallow_pilots.batch import slurm_answers as answers
from fallow_pilots.batch.model import BatchError, Hole, JobStatus, Phase, Spare, Stop
from fallow_pilots.batch.slurm import Slurm, fits_plan, probe_argv, script_text, submit_argv, until_taken
from fallow_pilots.policy import Batch
from fallow_pilots.reconcile import reconcile
from fallow_pilots.record import PilotRecord, State

if TYPE_CHECKING:
    from tests.pilots.batch.conftest import Recorded

PREFIX = "fallow-alder-"
THEN = datetime(2026, 11, 21, 11, 12, tzinfo=UTC)
"""When the answers were recorded."""
HOLE = Hole(nodes=1, cores=2, memory_mb=1000, gpus=0, walltime_s=480, most=6)
NODES, FEATURES = "NodeHost:|,StateLong", "features_act"
IDLE = f"{answers.NODE_HEADER}\n" + "".join(
    f"n{number}|idle|0/4/0/4|6000|0|(null)|(null)|up|\n" for number in range(1, 7)
)


@pytest.fixture
def system() -> str:
    return "slurm"


@pytest.fixture
def slurm(recorded: Recorded) -> Recorded:
    """A Slurm with six idle nodes and an empty queue."""
    recorded.answers("sinfo", NODES, says=IDLE)
    recorded.answers("squeue", answers.PLAN_FIELDS, says=f"{answers.PLAN_HEADER}\n")
    recorded.answers("scontrol", "show reservation", name="no-reservations.txt")
    return recorded


def spare(settings: Batch | None = None, hole: Hole | None = None) -> Spare:
    return Slurm(settings or Batch(), PREFIX).spare(count_waiting=False, partitions=(), hole=hole)


def moment(after: timedelta = timedelta()) -> str:
    return (datetime.now(UTC) + after).strftime(answers.MOMENT)


def starts(at: str) -> str:
    return f"sbatch: Job 9 to start at {at} using 2 processors on nodes n1 in partition main\n"


@pytest.fixture
def jobs(recorded: Recorded) -> dict[str, JobStatus]:
    """Our jobs in the recorded queue, by name."""
    recorded.answers("squeue", "--me", name="squeue.txt")
    return {job.name: job for job in Slurm(Batch(), PREFIX).status([])}


def test_only_our_own_jobs_are_reported(jobs: dict[str, JobStatus]) -> None:
    assert sorted(jobs) == [f"fallow-alder-{number}" for number in range(2, 7)]
    assert jobs["fallow-alder-4"].node == "alder-[1-2]"


def test_a_requeued_job_waits_again(jobs: dict[str, JobStatus]) -> None:
    requeued = jobs["fallow-alder-2"]
    assert (requeued.phase, requeued.started, requeued.detail) == (Phase.QUEUED, None, "PENDING (BeginTime)")


@pytest.mark.parametrize("reason", ["AssocGrpCPUMinutesLimit", "QOSMaxJobsPerUserLimit", "InvalidAccount"])
def test_a_job_that_waits_for_its_account_is_told_apart(reason: str) -> None:
    text = "JOBID|STATE|START_TIME|NODELIST|NAME|REASON\n"
    (job,) = answers.parse_jobs(f"{text}7|PENDING|N/A||fallow-alder-1|{reason}\n")
    assert (job.barred, job.detail) == (reason, f"PENDING ({reason})")
    (other,) = answers.parse_jobs(f"{text}7|PENDING|N/A||fallow-alder-1|Resources\n")
    assert other.barred is None
    waiting = f"PARTITION|REASON|NAME\nmain|{reason}|wrap\nmain|Resources|wrap\n"
    assert answers.parse_waiting(waiting, [], PREFIX) == 1, "no free node would start it"


def test_a_job_that_completes_still_holds_its_node(jobs: dict[str, JobStatus]) -> None:
    assert jobs["fallow-alder-6"].phase is Phase.RUNNING


def test_a_clock_that_runs_ahead_puts_no_start_into_the_future(jobs: dict[str, JobStatus]) -> None:
    ahead = jobs["fallow-alder-6"]
    assert ahead.started is not None
    assert ahead.started > THEN
    record = PilotRecord("alder-6", State.QUEUED, 4, 0, 3600, THEN)
    assert reconcile([record], {"alder-6": ahead}, {}, THEN)[0].started == THEN


def test_a_signal_to_a_job_that_has_ended_is_no_error(recorded: Recorded) -> None:
    recorded.answers("scancel", "--signal", code=1)
    for how in (Stop.DRAIN, Stop.EVICT):
        Slurm(Batch(), PREFIX).stop(["99"], how)
    assert recorded.calls == ["scancel --quiet --signal=USR1 99", "scancel --quiet --signal=TERM 99"]


def test_a_removal_that_fails_is_an_error(recorded: Recorded) -> None:
    recorded.answers("scancel", says="scancel: error: slurm_kill_job2() failed Socket timed out\n", code=1)
    with pytest.raises(BatchError, match="scancel failed with exit code 1: scancel: error"):
        Slurm(Batch(), PREFIX).stop(["99"], Stop.KILL)


def test_steps_in_the_accounting_are_no_jobs(recorded: Recorded) -> None:
    found = answers.parse_accounting(recorded.text("sacct.txt"))
    assert [(job.native_id, job.phase, job.node) for job in found] == [
        ("9", Phase.ENDED, "alder-2"),
        ("10", Phase.ENDED, None),
        ("11", Phase.ENDED, "alder-1"),
    ]


def test_of_the_recorded_nodes_only_those_that_could_start_a_job_are_spare(recorded: Recorded) -> None:
    nodes = answers.parse_nodes(recorded.text("sinfo.txt"))
    assert [node.name for node in nodes] == ["alder-4", "alder-5", "alder-6"]


def test_nodes_kept_for_a_job_to_come_count_where_holes_are_asked_for(recorded: Recorded) -> None:
    nodes = answers.parse_nodes(recorded.text("sinfo.txt"), planned_too=True)
    idle = {node.name: node.idle for node in nodes}
    assert idle == {"alder-2": False, "alder-3": True, "alder-4": True, "alder-5": False, "alder-6": True}


def test_free_gpus_are_counted_by_model(recorded: Recorded) -> None:
    nodes = {node.name: node for node in answers.parse_nodes(recorded.text("sinfo.txt"))}
    assert nodes["alder-5"].gpus_free == 3
    assert nodes["alder-5"].gpus_free_of("a100") == 1
    assert nodes["alder-5"].gpus_free_of("2080") == 2
    assert nodes["alder-5"].gpus_free_of("h100") == 0
    assert (nodes["alder-6"].gpus_free, nodes["alder-6"].gpus_free_of("a100")) == (2, 0)


def test_local_jobs_in_the_recorded_queue_wait(recorded: Recorded) -> None:
    assert answers.parse_waiting(recorded.text("waiting.txt"), (), PREFIX) == 2


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("n1", ["n1"]),
        ("alder-[1-2]", ["alder-1", "alder-2"]),
        ("n[08-10,12],gpu3", ["n08", "n09", "n10", "n12", "gpu3"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("c[1-2]-ib", ["c1-ib", "c2-ib"]),
        ("", []),
    ],
)
def test_a_list_of_hosts_names_each(text: str, hosts: list[str]) -> None:
    assert answers.hosts(text) == hosts


@pytest.mark.parametrize("text", ["n[1-99999999999]", "n[1-1000]m[1-1000]", "n[1--2]", "n[-3]"])
def test_a_list_of_hosts_that_makes_no_sense_is_no_answer(text: str) -> None:
    with pytest.raises(BatchError, match="of hosts"):
        answers.hosts(text)


def test_a_node_is_free_until_maintenance_takes_it(recorded: Recorded) -> None:
    takings = answers.parse_reservations(recorded.text("reservations.txt"), None, THEN)
    nodes = until_taken(answers.parse_nodes(recorded.text("sinfo.txt")), takings)
    assert {node.name: node.free_until for node in nodes} == {
        "alder-4": datetime(2026, 11, 21, 11, 30, 41, tzinfo=UTC),
        "alder-5": datetime(2026, 11, 21, 11, 30, 41, tzinfo=UTC),
        "alder-6": datetime(2026, 11, 21, 11, 10, tzinfo=UTC),
    }


def test_the_reservation_that_pilots_run_in_takes_no_node(recorded: Recorded) -> None:
    takings = answers.parse_reservations(recorded.text("reservations.txt"), "lent", THEN)
    assert [taking.nodes for taking in takings] == ["alder-[2,4-5]"]


def test_without_reservations_nodes_are_free_for_ever(recorded: Recorded) -> None:
    assert answers.parse_reservations(recorded.text("no-reservations.txt"), None, THEN) == []


@pytest.mark.parametrize("text", ["", "slurm_load_reservations error: Socket timed out\n", "{}"])
def test_an_answer_about_reservations_must_look_like_one(text: str) -> None:
    with pytest.raises(BatchError, match="scontrol gave no usable answer"):
        answers.parse_reservations(text, None, THEN)


def test_a_node_in_a_reservation_of_others_is_not_spare(slurm: Recorded) -> None:
    line = f"ReservationName=x StartTime={moment(-timedelta(hours=1))} EndTime={moment(timedelta(hours=1))} Nodes=n[1-4]\n"
    slurm.answers("scontrol", "show reservation", says=line)
    assert [node.name for node in spare().nodes] == ["n5", "n6"]
    lent = Batch(options=("--reservation=x",))
    assert len(spare(lent).nodes) == 6


def test_nothing_is_known_when_the_reservations_are_not(slurm: Recorded) -> None:
    slurm.answers("scontrol", "show reservation", says="Unable to contact slurm controller", code=1)
    with pytest.raises(BatchError, match="scontrol failed with exit code 1: Unable to contact"):
        spare()


def test_nodes_without_the_policys_features_are_not_spare(slurm: Recorded) -> None:
    slurm.answers("sinfo", NODES, name="sinfo.txt")
    slurm.answers("sinfo", FEATURES, name="features.txt")
    assert [node.name for node in spare(Batch(features=("ssd",))).nodes] == ["alder-4", "alder-6"]
    assert [node.name for node in spare(Batch(features=("ssd", "skylake"))).nodes] == ["alder-4"]


def test_the_start_is_found_in_what_the_test_says(recorded: Recorded) -> None:
    assert answers.parse_test(recorded.text("test-only.txt")) == datetime(2026, 11, 21, 11, 15, 2, tzinfo=UTC)
    found = answers.parse_test(recorded.text("test-only-preempts.txt"))
    assert found == datetime(2026, 11, 21, 11, 5, 2, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "Job 7 to start at never \n", "sbatch: Job 7 to start\n"])
def test_a_test_that_names_no_start_is_no_answer(text: str) -> None:
    with pytest.raises(BatchError, match="named no start"):
        answers.parse_test(text)


def test_pilots_that_would_start_at_once_are_counted_with_one_call(slurm: Recorded) -> None:
    slurm.answers("sbatch", "--test-only", says=f"{starts(moment())}")
    assert spare(hole=HOLE).startable == 6
    assert sum(call.startswith("sbatch") for call in slurm.calls) == 1


def test_where_not_all_would_start_the_number_that_would_is_found(slurm: Recorded) -> None:
    for nodes in range(1, 7):
        at = moment() if nodes <= 4 else moment(timedelta(hours=2))
        slurm.answers("sbatch", f"--nodes={nodes} ", says=starts(at))
    assert spare(hole=HOLE).startable == 4


def test_more_nodes_than_there_are_is_not_an_error(slurm: Recorded) -> None:
    for nodes in range(1, 7):
        slurm.answers("sbatch", f"--nodes={nodes} ", name="test-only-never.txt", code=1)
    slurm.answers("sbatch", "--nodes=1 ", says=starts(moment()))
    assert spare(hole=HOLE).startable == 1


def test_a_pilot_that_slurm_would_never_take_is_an_error_with_what_it_said(slurm: Recorded) -> None:
    slurm.answers("sbatch", "--test-only", name="test-only-never.txt", code=1)
    with pytest.raises(BatchError, match="allocation failure: Requested node configuration"):
        spare(hole=HOLE)


def test_pilots_that_would_start_later_are_not_startable(slurm: Recorded) -> None:
    slurm.answers("sbatch", "--test-only", says=starts(moment(timedelta(minutes=3))))
    assert spare(hole=HOLE).startable == 0


def test_a_node_kept_for_later_takes_pilots_that_are_gone_by_then(slurm: Recorded) -> None:
    slurm.answers("sbatch", "--test-only", says=starts(moment(timedelta(hours=3))))
    planned = IDLE.replace("n1|idle", "n1|planned").replace("n2|idle", "n2|planned")
    slurm.answers("sinfo", NODES, says=planned)
    plan = f"{moment(timedelta(minutes=30))}|n[1,5]|a\n{moment(timedelta(minutes=5))}|n2|b|c\n"
    slurm.answers("squeue", answers.PLAN_FIELDS, says=f"{answers.PLAN_HEADER}\n{plan}")
    found = spare(hole=HOLE)
    assert found.startable == 1
    assert found.startable_s == HOLE.walltime_s
    assert sum(node.free_until is not None for node in found.nodes) == 3


def test_a_hole_must_hold_the_whole_pilot(recorded: Recorded) -> None:
    nodes = answers.parse_nodes(recorded.text("sinfo.txt"), planned_too=True)
    nodes = until_taken(
        nodes, answers.parse_plan(f"{answers.PLAN_HEADER}\n2026-11-21T11:20:46|alder-[2-3]|big\n", PREFIX)
    )
    planned = {"alder-2", "alder-3"}
    assert fits_plan(HOLE, nodes, planned, THEN) == 2
    assert fits_plan(Hole(1, 4, 1000, 0, 480, 6), nodes, planned, THEN) == 1
    assert fits_plan(Hole(2, 2, 1000, 0, 480, 6), nodes, planned, THEN) == 1
    assert fits_plan(Hole(1, 2, 1000, 0, 600, 6), nodes, planned, THEN) == 0
    assert fits_plan(Hole(1, 2, 1000, 1, 480, 6), nodes, planned, THEN) == 0


def test_the_recorded_plan_says_when_nodes_are_taken(recorded: Recorded) -> None:
    assert [taking.nodes for taking in answers.parse_plan(recorded.text("plan.txt"), PREFIX)] == [
        "alder-2",
        "alder-[1-2]",
    ]


def test_no_more_pilots_are_asked_about_than_there_are_nodes(slurm: Recorded) -> None:
    slurm.answers("sbatch", "--nodes=6 ", says=starts(moment()))
    assert spare(hole=replace(HOLE, nodes=2, most=4000)).startable == 3


def test_nobody_is_asked_about_holes_without_need(slurm: Recorded) -> None:
    assert spare().startable is None
    assert not any(call.startswith("sbatch") for call in slurm.calls)


def test_the_test_asks_for_what_a_pilot_would_ask_for() -> None:
    settings = Batch(partition="spare", features=("ssd", "skylake"))
    hole = Hole(2, 4, 2000, 2, 3600, 9, gpu_model="a100")
    asked = {word for word in probe_argv(settings, hole, 3) if word.startswith("--")}
    given = set(submit_argv(settings, job(nodes=6, gpus=2, gpu_model="a100")))
    assert asked - {"--test-only", "--wrap=true"} <= given
    assert {"--nodes=6", "--gpus-per-node=a100:2", "--constraint=ssd&skylake"} <= asked


def test_a_pilot_on_several_nodes_is_started_once_on_each() -> None:
    line = script_text(job(nodes=3)).splitlines()[-1]
    assert line.startswith("exec srun --nodes=3 --ntasks-per-node=1 ")
    assert "--kill-on-bad-exit=0" in line
