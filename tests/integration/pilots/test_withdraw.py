"""A site admin takes capacity back: how long it takes, and what becomes of the jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import LONG, STUBBORN, Batch

from fallow.queue.records import JobState

MARK = "withdrawn by owner"


class Withdrawal:
    """One withdrawal with jobs on the centre's pilots, and what was seen of it."""

    def __init__(
        self, site: Site, batch: Batch, queue_says: Callable[[str, str], str], options: list[str]
    ) -> None:
        self.site = site
        batch.wait_running()
        done = site.fallow("withdraw", *options)
        self.said = done.stdout
        self.left = site.batch_jobs()
        self.records = batch.records()
        returned = [job for job in self.records.values() if job.state is JobState.WAITING]
        self.marks = {job.name: queue_says(job.id, "FallowVacated") for job in returned}
        took = re.search(r"The capacity is free; it took ([0-9.]+) s\.", self.said)
        assert took, self.said
        self.took_s = float(took[1])
        self.launched_before = len(site.pilots())
        # The launcher looks every two seconds: it has looked once this local job has run.
        site.login.run(["srun", "--partition=main", "--ntasks=1", "sleep", "5"], user="local", timeout_s=60)
        self.launched_after = len(site.pilots())
        site.fallow("resume")
        self.records_at_end = batch.wait_done()


@pytest.fixture(scope="module")
def withdrawals(
    site: Callable[[str], Site], submit: Callable[..., Batch], queue_says: Callable[[str, str], str]
) -> dict[str, Withdrawal]:
    """`birch` is withdrawn with a deadline, `cedar` at once, side by side."""
    places = {name: site(name) for name in ("birch", "cedar")}
    for place in places.values():
        place.wait_for_pilots()
    with ThreadPoolExecutor() as pool:
        drained = pool.submit(
            lambda: Withdrawal(
                places["birch"],
                submit({"short": ("sleep", "8"), "long": LONG}, centre="birch"),
                queue_says,
                ["--deadline", "45"],
            )
        )
        at_once = pool.submit(
            lambda: Withdrawal(
                places["cedar"],
                submit({"willing": LONG, "stubborn": STUBBORN}, centre="cedar"),
                queue_says,
                ["--now"],
            )
        )
        found = {"deadline": drained.result(), "now": at_once.result()}
    for name, one in found.items():
        print(f"withdraw by {name}: {one.took_s:.1f} s until Slurm confirmed that the capacity is free")
    return found


@pytest.mark.parametrize("kind", ["deadline", "now"])
def test_the_batch_system_holds_no_pilot_when_the_command_returns(
    withdrawals: dict[str, Withdrawal], kind: str
) -> None:
    one = withdrawals[kind]
    assert one.left == {}
    assert re.search(r"^ +[0-9]+\.[0-9] s: [1-9] running", one.said, re.MULTILINE), "progress is shown"


@pytest.mark.parametrize("kind", ["deadline", "now"])
def test_nothing_is_started_before_resume(withdrawals: dict[str, Withdrawal], kind: str) -> None:
    assert withdrawals[kind].launched_after == withdrawals[kind].launched_before


def test_a_job_that_can_end_before_the_deadline_does(withdrawals: dict[str, Withdrawal]) -> None:
    one = withdrawals["deadline"]
    assert (one.records["short"].state, one.records["short"].exit_code) == (JobState.FINISHED, 0)
    assert one.records_at_end["short"].starts == 1


def test_jobs_go_back_marked_as_withdrawn_by_owner(withdrawals: dict[str, Withdrawal]) -> None:
    assert withdrawals["deadline"].marks == {"long": MARK}
    assert withdrawals["now"].marks == {"willing": MARK, "stubborn": MARK}


@pytest.mark.parametrize(("kind", "name"), [("deadline", "long"), ("now", "willing"), ("now", "stubborn")])
def test_a_job_that_came_back_spends_no_retry_and_ends_well(
    withdrawals: dict[str, Withdrawal], kind: str, name: str
) -> None:
    job = withdrawals[kind].records_at_end[name]
    assert (job.exit_code, job.hold_code) == (0, None)
    assert job.starts >= 2


def test_a_withdrawal_at_once_takes_seconds(withdrawals: dict[str, Withdrawal]) -> None:
    assert "removed" not in withdrawals["now"].said
    codes = {row["code"] for row in withdrawals["now"].site.pilots() if row["wish"] == "withdraw"}
    assert codes == {100}, "every pilot left by itself; none had to be removed"
