"""Slurm's commands and answers, the odd ones above all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fallow_pilots.batch.command import run
from fallow_pilots.batch.model import BatchError, BatchJob, Node, Phase, Stop
from fallow_pilots.batch.slurm import Slurm, script_text, submit_argv
from fallow_pilots.batch.slurm_answers import (
    parse_accounting,
    parse_jobs,
    parse_nodes,
    parse_submit,
    parse_waiting,
)
from fallow_pilots.policy import Batch

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import FakeSlurm

JOBS = "JOBID|STATE|START_TIME|NODELIST|NAME|REASON\n"
NODES = "HOSTNAMES|STATE|CPUS(A/I/O/T)|MEMORY|ALLOCMEM|GRES|GRES_USED|AVAIL|\n"
WAITING = "PARTITION|REASON|NAME\n"
ACCOUNTING = "JobIDRaw|State|Start|NodeList|JobName\n"
PREFIX = "fallow-alder-"


def batch_job(folder: Path = Path("/srv/fallow/pilots/alder-7")) -> BatchJob:
    return BatchJob(
        name="fallow-alder-7",
        node_command=Path("/opt/fallow/bin/fallow-pilot-node"),
        spec=folder / "spec.json",
        script=folder / "pilot.sh",
        log=folder / "pilot.log",
        cores=4,
        memory_mb=2000,
        gpus=0,
        walltime_s=3659,
        drain_grace_s=30,
    )


def test_the_batch_script_only_starts_the_pilot() -> None:
    lines = script_text(batch_job(Path("/srv/it's here"))).splitlines()
    assert lines[0] == "#!/bin/sh"
    assert lines[1] == "exec /opt/fallow/bin/fallow-pilot-node --spec '/srv/it'\"'\"'s here/spec.json'"
    assert len(lines) == 2


def test_the_submission_hands_over_no_environment_and_is_never_requeued() -> None:
    argv = submit_argv(Batch(), batch_job())
    assert argv[0] == "sbatch"
    assert {"--export=NONE", "--no-requeue", "--parsable", "--job-name=fallow-alder-7"} <= set(argv)


def test_a_walltime_is_cut_to_whole_minutes_never_rounded_up() -> None:
    assert "--time=60" in submit_argv(Batch(), batch_job())


def test_the_policys_partition_account_and_options_are_passed_on() -> None:
    settings = Batch(partition="spare", account="guest", qos="low", options=("--constraint=a&b",))
    argv = submit_argv(settings, batch_job())
    assert {"--partition=spare", "--account=guest", "--qos=low", "--constraint=a&b"} <= set(argv)


@pytest.mark.parametrize(
    "text", ["17\n", "17;cluster\n", "sbatch: lua: hello\n17\n", "Note: 3 jobs are waiting\n17\n\n"]
)
def test_a_job_id_is_found_in_what_sbatch_says(text: str) -> None:
    assert parse_submit(text) == "17"


@pytest.mark.parametrize("text", ["", "Submitted batch job 17\n", "17x\n"])
def test_without_a_job_id_the_submission_is_in_doubt(text: str) -> None:
    with pytest.raises(BatchError, match="sbatch printed no job id"):
        parse_submit(text)


def test_jobs_are_read_with_their_phase_start_and_node() -> None:
    text = JOBS + (
        "1|PENDING|2026-03-02T13:00:00||fallow-alder-1|Priority\n"
        "2|RUNNING|2026-03-02T11:59:00|n1|fallow-alder-2|None\n"
        "3|COMPLETED|2026-03-02T10:00:00|n2|fallow-alder-3|None\n"
    )
    waiting, running, done = parse_jobs(text)
    assert (waiting.phase, waiting.started, waiting.detail) == (Phase.QUEUED, None, "PENDING (Priority)")
    assert (running.phase, running.node) == (Phase.RUNNING, "n1")
    assert running.started == datetime(2026, 3, 2, 11, 59, tzinfo=UTC)
    assert done.phase is Phase.ENDED


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("REQUEUED", Phase.QUEUED),
        ("CONFIGURING", Phase.RUNNING),
        ("COMPLETING", Phase.RUNNING),
        ("SUSPENDED", Phase.RUNNING),
        ("A_STATE_OF_TOMORROW", Phase.RUNNING),
        ("CANCELLED by 1000", Phase.ENDED),
        ("CANCELLED+", Phase.ENDED),
        ("PREEMPTED", Phase.ENDED),
        ("NODE_FAIL", Phase.ENDED),
        ("TIMEOUT", Phase.ENDED),
    ],
)
def test_a_node_counts_as_held_until_the_state_surely_says_otherwise(state: str, phase: Phase) -> None:
    assert parse_jobs(JOBS + f"5|{state}|N/A|n1|fallow-alder-5|None\n")[0].phase is phase


def test_array_tasks_steps_and_torn_lines_are_left_out() -> None:
    text = JOBS + "12_3|RUNNING|N/A|n1|a|None\n12_[4-9]|PENDING|N/A||a|None\n7|RUNN\n8||N/A|n1|b|None\n"
    assert parse_jobs(text) == []
    steps = "9.batch|RUNNING|Unknown|n1|batch\n9.extern|RUNNING|Unknown|n1|extern\n9|TIMEOUT|Unknown|n1|fallow-alder-9\n"
    assert [job.native_id for job in parse_accounting(ACCOUNTING + steps)] == ["9"]


def test_a_name_with_the_separator_in_it_only_spoils_its_own_row() -> None:
    jobs = parse_jobs(JOBS + "1|RUNNING|N/A|n1|a|b|c\n2|RUNNING|N/A|n1|fallow-alder-2|None\n")
    assert [job.name for job in jobs] == ["a", "fallow-alder-2"]


@pytest.mark.parametrize(
    "text", ["", "\n", "slurm_load_jobs error: Unable to contact controller\n", "1|RUNNING\n"]
)
def test_an_answer_without_its_header_is_no_answer(text: str) -> None:
    for parse in (parse_jobs, parse_nodes, parse_accounting):
        with pytest.raises(BatchError, match="gave no usable answer"):
            parse(text)
    with pytest.raises(BatchError, match="gave no usable answer"):
        parse_waiting(text, (), PREFIX)


def test_an_empty_queue_is_an_answer() -> None:
    assert parse_jobs(JOBS) == []


def test_only_nodes_that_could_start_a_job_now_are_spare() -> None:
    states = [
        "idle*",
        "idle~",
        "idle$",
        "idle@",
        "idle-",
        "planned",
        "reserved",
        "draining",
        "drained",
        "down",
        "maint",
    ]
    rows = "".join(
        f"n{index}|{state}|0/4/0/4|8000|0|(null)|(null)|up|\n" for index, state in enumerate(states)
    )
    fit = "m1|mixed|1/3/0/4|8000|2000|(null)|(null)|up|\nm2|idle|0/4/0/4|8000|0|(null)|(null)|up|\n"
    closed = "m3|idle|0/4/0/4|8000|0|(null)|(null)|down|\n"
    assert parse_nodes(NODES + rows + fit + closed) == (
        Node("m1", 3, 6000, 0, idle=False),
        Node("m2", 4, 8000, 0, idle=True),
    )


def test_a_node_in_two_partitions_counts_once() -> None:
    row = "n1|idle|0/4/0/4|8000|0|(null)|(null)|up|\n"
    assert len(parse_nodes(NODES + row + row)) == 1


def test_free_gpus_are_all_models_less_those_in_use() -> None:
    row = "n1|mixed|4/4/0/8|8000|0|gpu:a100:4(S:0-1),gpu:v100:2,shard:8|gpu:a100:3(IDX:0-2),gpu:v100:0|up|\n"
    assert parse_nodes(NODES + row)[0].gpus_free == 3


def test_local_jobs_wait_unless_they_are_held_or_depend_or_are_ours() -> None:
    text = WAITING + (
        "main|Priority|a\nmain|Resources|b|with|bars\nmain,long|Priority|c\n"
        "main|Dependency|d\nmain|JobHeldUser|e\nspare|Priority|fallow-alder-9\nspare|Resources|f\n"
    )
    assert parse_waiting(text, (), PREFIX) == 4
    assert parse_waiting(text, ("long", "spare"), PREFIX) == 2


@pytest.fixture
def batch(slurm: FakeSlurm) -> Slurm:
    return Slurm(Batch(partition="spare"), PREFIX)


def test_a_job_is_submitted_seen_signalled_and_removed(batch: Slurm, slurm: FakeSlurm) -> None:
    slurm.set(obeyed=[])
    native_id = batch.submit(batch_job())
    assert [(job.native_id, job.phase) for job in batch.status([])] == [(native_id, Phase.RUNNING)]
    for how in (Stop.DRAIN, Stop.EVICT, Stop.KILL):
        batch.stop([native_id], how)
    assert slurm.jobs[native_id]["signals"] == ["USR1", "TERM", "cancel"]
    assert batch.status([])[0].phase is Phase.ENDED


def test_nothing_to_stop_calls_nothing(batch: Slurm, slurm: FakeSlurm) -> None:
    batch.stop([], Stop.KILL)
    assert slurm.read()["calls"] == []


def test_jobs_of_others_are_not_ours(batch: Slurm, slurm: FakeSlurm) -> None:
    batch.submit(batch_job())
    slurm.change_jobs(name="wrap")
    assert batch.status([]) == []


def test_spare_capacity_is_that_of_the_policys_partition(batch: Slurm, slurm: FakeSlurm) -> None:
    spare = batch.spare(count_waiting=False, partitions=())
    assert [node.name for node in spare.nodes] == ["n1", "n2", "n3"]
    assert spare.waiting is None
    assert any("--partition=spare" in call for call in slurm.read()["calls"])


def test_waiting_jobs_are_counted_when_asked(batch: Slurm, slurm: FakeSlurm) -> None:
    slurm.set(waiting=["Priority", "Dependency", "Resources"])
    assert batch.spare(count_waiting=True, partitions=("main",)).waiting == 2


def test_jobs_that_the_queue_forgot_are_looked_up_in_the_accounting(batch: Slurm, slurm: FakeSlurm) -> None:
    slurm.install("sacct")
    row = "7|TIMEOUT|2026-03-02T11:59:00|n1|fallow-alder-7\n"
    slurm.fails("sacct", prints=ACCOUNTING + row)
    assert [job.detail for job in batch.status(["fallow-alder-7"])] == ["TIMEOUT"]


def test_an_accounting_that_fails_is_as_if_there_were_none(batch: Slurm, slurm: FakeSlurm) -> None:
    slurm.install("sacct")
    slurm.fails("sacct", code=1, complains="Slurm accounting storage is disabled\n")
    assert batch.status(["fallow-alder-7"]) == []


@pytest.mark.parametrize("program", ["squeue", "sinfo"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            {"code": 1, "complains": "x\nslurm_load_jobs error: Socket timed out"},
            "exit code 1: slurm_load_jobs error",
        ),
        ({"prints": ""}, "gave no usable answer"),
        ({"prints": "Segmentation fault\n"}, "gave no usable answer"),
    ],
)
def test_a_failing_command_is_an_error_with_what_it_said(
    batch: Slurm, slurm: FakeSlurm, program: str, fault: dict[str, object], said: str
) -> None:
    slurm.fails(program, **fault)
    ask: Callable[[], object] = lambda: batch.status([])  # noqa: E731
    if program == "sinfo":
        ask = lambda: batch.spare(count_waiting=False, partitions=())  # noqa: E731
    with pytest.raises(BatchError, match=said):
        ask()


def test_a_command_that_hangs_is_given_up(slurm: FakeSlurm) -> None:
    slurm.fails("squeue", hang=True)
    with pytest.raises(BatchError, match="squeue did not answer in 1 s"):
        run(["squeue"], timeout_s=1)


def test_a_missing_command_is_said_with_what_to_do() -> None:
    with pytest.raises(BatchError, match=r"Cannot run no-such-program: .* on PATH\?"):
        run(["no-such-program"])


def test_commands_see_no_secret_of_the_callers_environment(
    batch: Slurm, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "canary-secret")
    monkeypatch.setenv("SBATCH_PARTITION", "main")
    batch.submit(batch_job())
    assert not {"BEARER_TOKEN", "SBATCH_PARTITION"} & set(slurm.read()["environment"])
