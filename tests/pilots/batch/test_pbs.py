"""PBS: its commands, and answers in the documented formats; the odd ones above all."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.pilots.batch.jobs import batch_job

from fallow_pilots.batch import pbs_answers as answers
from fallow_pilots.batch.model import BatchError, JobStatus, Node, Phase, Stop
from fallow_pilots.batch.pbs import PBS, script_text, submit_argv
from fallow_pilots.policy import Batch

if TYPE_CHECKING:
    from tests.pilots.batch.conftest import Recorded

PREFIX = "fallow-alder-"
SETTINGS = Batch(system="pbs", partition="spare", account="guest")
job = partial(batch_job, walltime_s=36_061)


@pytest.fixture
def system() -> str:
    return "pbs"


@pytest.fixture
def pbs() -> PBS:
    return PBS(SETTINGS, PREFIX)


@pytest.fixture
def busy(recorded: Recorded) -> Recorded:
    """A server with the recorded jobs."""
    recorded.answers("qselect", "-u", says="".join(f"{number}.pbs1\n" for number in range(101, 111)))
    recorded.answers("qstat", "-f -F json 101.pbs1", name="qstat.json")
    recorded.answers("qsig")
    recorded.answers("qdel")
    return recorded


@pytest.fixture
def nodes(recorded: Recorded) -> Recorded:
    """A server with the recorded nodes."""
    recorded.answers("pbsnodes", "-a -F json", name="pbsnodes.json")
    recorded.answers("pbs_rstat", "-F", name="rstat.txt")
    return recorded


def test_a_pilot_is_asked_for_as_one_chunk() -> None:
    argv = submit_argv(SETTINGS, job(gpus=2, gpu_model="a100"))
    assert argv[0] == "qsub"
    assert argv[-1] == "/srv/fallow/pilots/alder-7/pilot.sh"
    assert {"select=1:ncpus=4:mem=2000mb:ngpus=2:gpu_model=a100", "walltime=10:01:01"} <= set(argv)
    assert argv[argv.index("-q") + 1] == "spare"
    assert argv[argv.index("-A") + 1] == "guest"
    assert argv[argv.index("-r") + 1] == "n", "it never runs twice"
    assert "-V" not in argv


def test_a_pilot_on_several_nodes_asks_for_a_chunk_on_each() -> None:
    assert {"select=3:ncpus=4:mem=2000mb", "place=scatter"} <= set(submit_argv(SETTINGS, job(nodes=3)))


def test_each_of_several_nodes_is_told_which_one_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    node.write_text('#!/bin/sh\necho "$FALLOW_NODE of $FALLOW_NODES: $*"\n')
    pbsdsh = tmp_path / "pbsdsh"
    pbsdsh.write_text('#!/bin/sh\nshift\nfor node in 0 1; do PBS_NODENUM=$node "$@"; done\n')
    node.chmod(0o755)
    pbsdsh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    text = script_text(job(nodes=2, node_command=node, spec=Path("/srv/it's/spec.json")))
    said = subprocess.run(["/bin/sh"], input=text, text=True, capture_output=True, check=True).stdout
    assert said.splitlines() == [f"{number} of 2: --spec /srv/it's/spec.json" for number in (0, 1)]


def test_a_pilot_that_would_outlive_its_window_does_not_start() -> None:
    closes = datetime(2026, 11, 21, 18, tzinfo=UTC)
    script = script_text(job(walltime_s=3600, deadline=closes))
    assert f'-gt {int(closes.timestamp()) - 3600} ]; then echo "too late to start"; exit 0' in script
    assert "too late" not in script_text(job())


def test_a_job_id_is_found_in_what_qsub_says() -> None:
    assert answers.parse_submit("Your project has 3 TB left\n17.pbs1.example.org\n") == "17.pbs1.example.org"


@pytest.mark.parametrize("text", ["", "qsub: Unknown queue\n", "17[].pbs1\n"])
def test_without_a_job_id_the_submission_is_in_doubt(text: str) -> None:
    with pytest.raises(BatchError, match="qsub printed no job id"):
        answers.parse_submit(text)


def test_a_pilot_is_submitted(pbs: PBS, recorded: Recorded) -> None:
    recorded.answers("qsub", says="17.pbs1\n")
    assert pbs.submit(job()) == "17.pbs1"


def found(pbs: PBS) -> dict[str, JobStatus]:
    return {job.name: job for job in pbs.status([])}


def test_only_our_own_jobs_are_reported_and_no_arrays(pbs: PBS, busy: Recorded) -> None:
    assert sorted(found(pbs)) == [f"fallow-alder-{number}" for number in (1, 2, 3, 4, 5, 6, 8)]


def test_jobs_are_read_with_their_phase_start_and_nodes(pbs: PBS, busy: Recorded) -> None:
    jobs = found(pbs)
    begun = datetime(2026, 11, 21, 11, 1, tzinfo=UTC)
    assert (jobs["fallow-alder-1"].phase, jobs["fallow-alder-1"].started) == (Phase.RUNNING, begun)
    assert jobs["fallow-alder-2"].started == datetime(2026, 11, 21, 11, 2, tzinfo=UTC)
    assert (jobs["fallow-alder-1"].node, jobs["fallow-alder-2"].node) == ("cn1", "cn2+cn3")


@pytest.mark.parametrize(
    ("number", "phase"), [(3, Phase.QUEUED), (5, Phase.QUEUED), (4, Phase.RUNNING), (6, Phase.RUNNING)]
)
def test_a_job_holds_its_node_while_it_exits_or_is_suspended(
    pbs: PBS, busy: Recorded, number: int, phase: Phase
) -> None:
    assert found(pbs)[f"fallow-alder-{number}"].phase is phase


def test_a_job_that_waits_has_not_started_and_says_why(pbs: PBS, busy: Recorded) -> None:
    waiting = found(pbs)["fallow-alder-3"]
    assert waiting.started is None
    assert waiting.detail == "Q (Not Running: Insufficient amount of resource: ncpus)"


def test_a_start_that_makes_no_sense_is_none(pbs: PBS, busy: Recorded) -> None:
    assert found(pbs)["fallow-alder-8"].started is None


def test_an_empty_queue_is_confirmed_by_the_server(pbs: PBS, recorded: Recorded) -> None:
    recorded.answers("qselect")
    recorded.answers("qstat", "-B", name="server.json")
    assert pbs.status([]) == []


@pytest.mark.parametrize("name", ["header-only.json", ""])
def test_an_empty_queue_that_no_server_confirms_is_no_answer(pbs: PBS, recorded: Recorded, name: str) -> None:
    recorded.answers("qselect")
    recorded.answers("qstat", "-B", name=name)
    with pytest.raises(BatchError, match="qstat"):
        pbs.status([])


def test_a_server_that_is_away_is_an_error_with_what_was_said(pbs: PBS, recorded: Recorded) -> None:
    recorded.answers("qselect", says="qselect: cannot connect to server pbs1 (errno=15010)\n", code=255)
    with pytest.raises(BatchError, match="qselect failed with exit code 255: qselect: cannot connect"):
        pbs.status([])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"Jobs":{}}', "No route to host\n"])
def test_an_answer_without_the_servers_name_is_no_answer(text: str) -> None:
    for parse in (answers.parse_jobs, answers.parse_queues, answers.check_server):
        with pytest.raises(BatchError, match="qstat gave no usable answer"):
            parse(text)
    with pytest.raises(BatchError, match="pbsnodes gave no usable answer"):
        answers.parse_nodes(text, None)


def test_a_pilot_that_left_the_queue_is_looked_up_by_name(pbs: PBS, busy: Recorded) -> None:
    busy.answers("qselect", "-x", says="99.pbs1\n")
    busy.answers("qstat", "-x", name="qstat-finished.json")
    ended = {job.name: job for job in pbs.status(["fallow-alder-1", "fallow-alder-9"])}["fallow-alder-9"]
    assert ended.phase is Phase.ENDED
    assert ended.detail.endswith("and exceeded resource walltime)")


def test_an_id_that_is_unknown_for_ever_is_not_reported(pbs: PBS, busy: Recorded) -> None:
    busy.answers("qselect", "-x")
    assert "fallow-alder-99" not in {job.name for job in pbs.status(["fallow-alder-99"])}


def test_a_server_that_keeps_no_history_is_as_if_it_knew_nothing(pbs: PBS, busy: Recorded) -> None:
    busy.answers("qselect", "-x", says="PBS is not configured to maintain job history\n", code=2)
    assert "fallow-alder-9" not in {job.name for job in pbs.status(["fallow-alder-9"])}


def test_only_free_nodes_of_the_queue_are_spare(recorded: Recorded) -> None:
    nodes = {node.name: node for node in answers.parse_nodes(recorded.text("pbsnodes.json"), "spare")}
    assert sorted(nodes) == ["cn1", "cn14", "cn2", "cn4"]
    assert nodes["cn1"] == Node("cn1", 4, 14_336, 0, idle=False)
    assert nodes["cn2"] == Node("cn2", 8, 16_384, 4, idle=True, gpu_models=(("a100", 4),))
    assert (nodes["cn14"].cores_free, nodes["cn14"].memory_mb_free) == (0, 0)


def test_a_node_is_free_until_its_first_reservation(pbs: PBS, nodes: Recorded) -> None:
    free = {node.name: node.free_until for node in pbs.spare(count_waiting=False, partitions=()).nodes}
    assert free["cn2"] == datetime(2026, 11, 21, 20, tzinfo=UTC)
    assert free["cn1"] is None


def test_reservations_are_asked_for_only_where_a_node_has_one(pbs: PBS, nodes: Recorded) -> None:
    nodes.answers("pbsnodes", "-a -F json", says=nodes.text("pbsnodes.json").replace('"resv"', '"was"'))
    pbs.spare(count_waiting=False, partitions=())
    assert not any(call.startswith("pbs_rstat") for call in nodes.calls)


def test_nothing_is_known_when_the_reservations_are_not(pbs: PBS, nodes: Recorded) -> None:
    for text in ("", "pbs_rstat: cannot connect\n"):
        nodes.answers("pbs_rstat", "-F", says=text)
        with pytest.raises(BatchError, match="pbs_rstat gave no usable answer"):
            pbs.spare(count_waiting=False, partitions=())


def test_long_lists_of_reserved_nodes_go_on_in_the_next_line(recorded: Recorded) -> None:
    reservations = answers.parse_reservations(recorded.text("rstat.txt"))
    assert [(one.name, one.nodes) for one in reservations] == [
        ("R12.pbs1", frozenset({"cn2"})),
        ("M13.pbs1", frozenset({"cn2[0]", "cn2[1]", "cn2", "cn6"})),
    ]


def test_waiting_jobs_are_those_of_others(pbs: PBS, nodes: Recorded, busy: Recorded) -> None:
    busy.answers("qstat", "-Q", name="queues.json")
    ask = pbs.spare
    assert ask(count_waiting=True, partitions=("workq",)).waiting == 5
    ours = 1  # and one that is held, which does not wait
    assert ask(count_waiting=True, partitions=()).waiting == 5 + 2 - ours


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Stop.DRAIN, "qsig -s SIGUSR1 101.pbs1"),
        (Stop.EVICT, "qsig -s SIGTERM 101.pbs1"),
        (Stop.KILL, "qdel 101.pbs1 103.pbs1"),
    ],
)
def test_jobs_are_signalled_while_they_run_and_deleted_in_any_state(
    pbs: PBS, busy: Recorded, how: Stop, said: str
) -> None:
    pbs.stop(["101.pbs1", "103.pbs1", "999.pbs1"], how)
    assert busy.calls[-1] == said


def test_a_job_that_ended_meanwhile_is_no_error(pbs: PBS, busy: Recorded) -> None:
    busy.answers("qdel", says="qdel: Unknown Job Id 101.pbs1\n", code=153)
    pbs.stop(["101.pbs1"], Stop.KILL)


def test_nothing_to_stop_calls_nothing(pbs: PBS, recorded: Recorded) -> None:
    pbs.stop([], Stop.KILL)
    assert recorded.calls == []
