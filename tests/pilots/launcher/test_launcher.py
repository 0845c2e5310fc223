"""Cycles of the launcher against a Slurm and a hub that fail as a test says."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fallow.messages import SCOPE_PILOT
from fallow.offers import OfferState
from fallow.reports import PilotReport
from fallow_pilots.credentials import Credentials
from fallow_pilots.halt import Halt, set_halt
from fallow_pilots.launcher import Launcher, Report
from fallow_pilots.order import Wish
from fallow_pilots.outcome import MOST
from fallow_pilots.reconcile import ABSENT_S
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.spec import PilotSpec
from fallow_pilots.watch import KEPT

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre


def cycle(centre: TestCentre) -> Report:
    report = centre.launcher.cycle(60)
    centre.wait(60)
    return report


def records(centre: TestCentre) -> list[PilotRecord]:
    return centre.store.records(centre.now - KEPT)


def states(centre: TestCentre) -> list[str]:
    return [record.state.value for record in records(centre)]


def running_jobs(centre: TestCentre) -> int:
    return sum(job["state"] in {"PENDING", "RUNNING"} for job in centre.slurm.jobs.values())


def test_each_idle_node_gets_one_pilot_and_no_second_one(centre: TestCentre) -> None:
    assert cycle(centre).launched == 3
    assert cycle(centre).launched == 0
    assert [job["name"] for job in centre.slurm.jobs.values()] == [f"fallow-alder-{n}" for n in (1, 2, 3)]
    assert states(centre) == ["running"] * 3


def test_queued_pilots_are_not_doubled(centre: TestCentre) -> None:
    centre.slurm.set(held=True)
    cycle(centre)
    assert cycle(centre).launched == 0
    assert states(centre) == ["queued"] * 3


def test_no_pilot_follows_one_that_waits_for_its_account(centre: TestCentre) -> None:
    centre.slurm.set(held=True, nodes=1)
    cycle(centre)
    centre.slurm.change_jobs(reason="AssocGrpCPUMinutesLimit")
    centre.slurm.set(nodes=5)
    report = cycle(centre)
    assert (report.launched, states(centre)) == (0, ["queued"])
    assert "alder-1 waits for a limit of its account (AssocGrpCPUMinutesLimit)" in report.reason
    centre.slurm.change_jobs(state="RUNNING", node="n1", reason="None")
    assert cycle(centre).launched > 0, "there is a budget again"


def test_a_pilot_that_its_account_may_not_submit_is_told_and_tried_again_later(centre: TestCentre) -> None:
    said = "sbatch: error: AssocGrpSubmitJobsLimit\n"
    centre.slurm.fails("sbatch", before=True, code=1, complains=said)
    assert cycle(centre).launched == 0
    assert "AssocGrpSubmitJobsLimit" in str(records(centre)[0].reason)


def test_a_pilot_is_told_all_that_it_needs_in_a_file_of_its_own(
    make_centre: Callable[..., TestCentre],
) -> None:
    centre = make_centre(conditions={"max_job_s": 900}, assume={"cvmfs": ["a.cern.ch"]})
    cycle(centre)
    path = centre.layout.spec("alder-1")
    spec = PilotSpec.read(path)
    assert (spec.pilot, spec.centre, spec.collector) == ("alder-1", "alder", "hub.example.org:9618")
    assert (spec.cores, spec.walltime_s, spec.idle_exit_s) == (4, 3600, 60)
    assert (spec.way_file, spec.cvmfs) == (None, ("a.cern.ch",))
    assert spec.conditions == ("((TARGET.FallowWalltime <= 900) =?= true)",)
    assert spec.token_file.read_text() == "secret-1\n"
    for private in (path, spec.token_file):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_no_secret_reaches_the_batch_system(centre: TestCentre) -> None:
    cycle(centre)
    script = centre.layout.script("alder-1").read_text()
    assert "secret-1" not in script + centre.slurm.path.read_text()


@pytest.mark.parametrize(
    "fault", [{"code": 1}, {"prints": ""}, {"prints": "JOBID\n"}, {"code": 0, "prints": "garbage\x00\n"}]
)
@pytest.mark.parametrize("program", ["squeue", "sinfo"])
def test_nothing_is_started_or_stopped_on_an_answer_that_failed(
    centre: TestCentre, program: str, fault: dict[str, object]
) -> None:
    centre.slurm.set(nodes=1)
    cycle(centre)
    cycle(centre)
    centre.slurm.set(nodes=5)
    centre.slurm.fails(program, **fault)
    for _ in range(5):
        report = cycle(centre)
        assert (report.launched, report.clause) == (0, "batch")
    assert states(centre) == ["running"]
    assert "signals" not in centre.slurm.jobs["1"]
    centre.slurm.works()
    assert cycle(centre).launched == 4


def test_a_queue_that_answers_with_nothing_starts_nothing_at_once(centre: TestCentre) -> None:
    cycle(centre)
    centre.slurm.change_jobs(purged=True)
    assert cycle(centre).launched == 0
    assert states(centre) == ["queued"] * 3


def test_a_pilot_that_the_queue_has_forgotten_is_given_up_in_time_and_comes_back(centre: TestCentre) -> None:
    centre.slurm.set(nodes=1)
    cycle(centre)
    centre.slurm.change_jobs(purged=True)
    for _ in range(2 + ABSENT_S // 60):
        cycle(centre)
    assert states(centre)[0] == "lost"
    centre.slurm.change_jobs(purged=False)
    cycle(centre)
    assert states(centre)[0] == "running"


def test_an_outcome_ends_a_pilot_that_the_queue_has_forgotten(centre: TestCentre) -> None:
    cycle(centre)
    centre.leaves("alder-2", 200)
    centre.slurm.change_jobs(purged=True)
    centre.launcher.look()
    assert [record.code for record in records(centre)] == [None, 200, None]
    assert states(centre) == ["queued", "ended", "queued"]


def reports(centre: TestCentre, pilot: str, code: int | None) -> None:
    """Let the hub have a pilot's report."""
    centre.hub.reports[pilot] = PilotReport(
        pilot=pilot, centre="alder", written=centre.now, started=centre.now, code=code,
        ended=centre.now if code else None, reason="The node is broken.",
    )  # fmt: skip


def test_an_outcome_that_came_by_the_hub_counts_as_well(centre: TestCentre) -> None:
    cycle(centre)
    centre.slurm.change_jobs(state="FAILED", purged=True)
    reports(centre, "alder-1", 500)
    reports(centre, "alder-2", None)
    cycle(centre)
    cycle(centre)
    found = {record.pilot: record for record in records(centre)}
    assert (found["alder-1"].state, found["alder-1"].code) == (State.ENDED, 500)
    assert (found["alder-2"].state, found["alder-2"].code) == (State.QUEUED, None)


def test_a_count_at_the_hub_that_no_memory_holds_ends_no_launcher(centre: TestCentre) -> None:
    cycle(centre)
    centre.slurm.change_jobs(state="FAILED", purged=True)
    reports(centre, "alder-1", 500)
    centre.hub.reports["alder-1"] = centre.hub.reports["alder-1"].model_copy(
        update={"used_core_s": 10**30, "jobs_run": 10**30}
    )
    cycle(centre)
    assert records(centre)[0].busy_core_s == MOST


def test_what_a_pilot_left_here_outweighs_what_the_hub_says(centre: TestCentre) -> None:
    cycle(centre)
    centre.slurm.change_jobs(state="COMPLETED")
    reports(centre, "alder-1", 500)
    centre.leaves("alder-1", 200)
    cycle(centre)
    assert {record.pilot: record.code for record in records(centre)}["alder-1"] == 200


def test_nothing_that_the_hub_says_ends_a_pilot_that_is_here(centre: TestCentre) -> None:
    cycle(centre)
    for pilot in ("alder-1", "alder-2", "alder-3"):
        reports(centre, pilot, 500)
    cycle(centre)
    assert {(record.state, record.code) for record in records(centre)} == {(State.RUNNING, None)}


def test_an_outcome_that_makes_no_sense_counts_as_none(centre: TestCentre) -> None:
    cycle(centre)
    for pilot, text in (("alder-1", "{"), ("alder-2", '{"code": 7}'), ("alder-3", "")):
        centre.layout.outcome(pilot).write_text(text)
        centre.layout.outcome(pilot).chmod(0o600)
    centre.slurm.change_jobs(state="FAILED")
    centre.launcher.look()
    assert [record.reason for record in records(centre)] == ["Batch: FAILED."] * 3


def test_an_outcome_cannot_write_to_the_admins_terminal(centre: TestCentre) -> None:
    cycle(centre)
    centre.leaves("alder-1", 500, "no \x1b[2Jnamespaces")
    centre.launcher.look()
    assert records(centre)[0].reason == "no ?[2Jnamespaces"


def test_an_outcome_that_others_could_write_counts_as_none(centre: TestCentre) -> None:
    cycle(centre)
    centre.leaves("alder-1", 200)
    centre.layout.outcome("alder-1").chmod(0o666)
    centre.launcher.look()
    assert records(centre)[0].code is None


def test_a_broken_node_does_not_cause_relaunching(centre: TestCentre) -> None:
    cycle(centre)
    for pilot in ("alder-1", "alder-2", "alder-3"):
        centre.leaves(pilot, 500)
    centre.slurm.change_jobs(state="COMPLETED")
    launched = [cycle(centre).launched for _ in range(4)]
    assert launched == [0, 0, 0, 0]
    assert cycle(centre).launched == 1  # the canary, after backoff.wait_s
    assert cycle(centre).launched == 0


@pytest.mark.parametrize("before", [True, False])
def test_a_submission_that_fails_is_not_repeated_before_its_fate_is_known(
    centre: TestCentre, before: bool
) -> None:
    centre.slurm.fails("sbatch", before=before, code=1, complains="Socket timed out on send/recv operation\n")
    assert cycle(centre).launched == 0
    assert len(records(centre)) == 1
    centre.slurm.works()
    report = cycle(centre)
    names = [job["name"] for job in centre.slurm.jobs.values()]
    assert len(names) == len(set(names))
    assert report.launched + 1 == report.active
    assert running_jobs(centre) == (report.launched if before else report.active)


def test_a_batch_system_that_refuses_every_pilot_makes_the_launcher_slow_down(centre: TestCentre) -> None:
    centre.slurm.fails("sbatch", before=True, code=1, complains="Invalid account\n")
    reports = [cycle(centre) for _ in range(8)]
    assert reports[-1].clause == "backoff"
    assert "Invalid account" in (records(centre)[0].reason or "")


def test_a_pilot_that_only_the_batch_system_knows_is_taken_in(centre: TestCentre) -> None:
    cycle(centre)
    centre.layout.store.unlink()
    centre.store.__init__(centre.layout.store, "alder")  # type: ignore[misc] # a lost state directory
    report = cycle(centre)
    assert (report.launched, report.active) == (0, 3)
    centre.slurm.set(nodes=4)
    cycle(centre)
    assert [job["name"] for job in centre.slurm.jobs.values()][-1] == "fallow-alder-4"


def test_a_job_of_the_same_name_from_before_the_state_was_deleted_is_not_taken_for_ours(
    centre: TestCentre,
) -> None:
    cycle(centre)
    state = centre.slurm.read()
    old = {**state["jobs"]["1"], "state": "COMPLETED"}
    centre.slurm.set(jobs={**state["jobs"], "9": old})
    cycle(centre)
    assert {record.pilot: record.state for record in records(centre)}["alder-1"] is State.RUNNING


def test_jobs_of_another_centre_with_a_similar_name_are_not_ours(centre: TestCentre) -> None:
    cycle(centre)
    centre.slurm.change_jobs(name="fallow-alder-north-1")
    centre.launcher.look()
    assert [record.pilot for record in records(centre)] == ["alder-1", "alder-2", "alder-3"]


def test_a_hub_that_was_never_reached_gets_no_pilots(centre: TestCentre) -> None:
    centre.hub.away = True
    report = cycle(centre)
    assert (report.launched, report.clause) == (0, "halt")
    assert report.reason == "The hub has never been reached. The hub does not answer."
    centre.hub.away = False
    assert cycle(centre).launched == 3


def test_without_the_hub_the_launcher_keeps_to_its_policy_and_says_so(centre: TestCentre) -> None:
    centre.slurm.set(nodes=1)
    cycle(centre)
    centre.hub.away = True
    centre.slurm.set(nodes=2)
    report = cycle(centre)
    assert report.launched == 1
    assert report.hub_trouble == "The hub does not answer."


def test_no_pilot_starts_with_an_expired_token(centre: TestCentre) -> None:
    centre.slurm.set(nodes=0)
    cycle(centre)
    centre.hub.away = True
    centre.wait(3600)
    centre.slurm.set(nodes=2)
    report = cycle(centre)
    assert (report.launched, report.clause) == (0, "halt")
    assert report.reason.startswith("The token for pilots expired at 2026-03-02 13:00:00 UTC.")


def test_no_pilot_starts_while_nodes_have_no_way_to_the_hub(centre: TestCentre) -> None:
    launcher = Launcher(
        centre.policy,
        centre.batch,
        centre.store,
        Credentials(centre.hub, centre.store, centre.layout.token),
        centre.hub.published.append,
        centre.hub.report,
        centre.clock,
        relay=lambda _: "The relay cannot listen.",
    )
    report = launcher.cycle(60)
    assert (report.launched, report.clause, report.reason) == (0, "halt", "The relay cannot listen.")


def test_the_pilots_token_is_renewed_at_half_its_life(centre: TestCentre) -> None:
    cycle(centre)
    centre.wait(28 * 60)
    cycle(centre)
    assert centre.hub.exchanged == [SCOPE_PILOT]
    cycle(centre)
    assert centre.hub.exchanged == [SCOPE_PILOT] * 2
    assert centre.layout.token.read_text() == "secret-2\n"


def test_a_token_file_that_has_gone_is_made_again(centre: TestCentre) -> None:
    cycle(centre)
    centre.layout.token.unlink()
    cycle(centre)
    assert centre.layout.token.exists()


def test_the_offer_says_what_pilots_hold_and_expires(make_centre: Callable[..., TestCentre]) -> None:
    centre = make_centre(conditions={"work_types": ["test"]}, limits={"ramp": 0.1})
    cycle(centre)
    offer = centre.hub.published[-1]
    assert (offer.centre, offer.shapes[0].cores, offer.shapes[0].count) == ("alder", 4, 3)
    assert offer.expires - offer.starts == timedelta(seconds=300)
    assert [condition.sentence for condition in offer.conditions] == ["Only jobs of the work types test."]
    cycle(centre)
    assert (centre.hub.published[-1].running_pilots, centre.hub.published[-1].shapes[0].count) == (1, 3)


def test_the_offer_of_a_withdrawn_centre_says_so(centre: TestCentre) -> None:
    set_halt(centre.store, Halt(Wish.WITHDRAW, centre.now))
    assert cycle(centre).launched == 0
    assert (centre.hub.published[-1].state, centre.hub.published[-1].shapes[0].count) == (
        OfferState.WITHDRAWN,
        0,
    )


def test_old_pilots_leave_nothing_behind(centre: TestCentre) -> None:
    cycle(centre)
    centre.slurm.change_jobs(state="COMPLETED")
    centre.slurm.set(nodes=0)
    cycle(centre)
    centre.wait(KEPT.total_seconds())
    cycle(centre)
    assert list(centre.layout.pilots.iterdir()) == []
    assert [record.state for record in records(centre) if record.state is State.ENDED] == []


def test_state_directories_are_closed_to_others(centre: TestCentre) -> None:
    cycle(centre)
    closed: list[Path] = [centre.layout.root, centre.layout.pilots, centre.layout.spec("alder-1").parent]
    assert [stat.S_IMODE(path.stat().st_mode) for path in closed] == [0o700] * 3
