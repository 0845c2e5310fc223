"""`fallow pilot` as a site admin types it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from fallow.errors import FallowError, RefusedError, UsageError
from fallow_pilots.centre import Centre
from fallow_pilots.cli import pilot
from fallow_pilots.loop import only_one
from fallow_pilots.stopping import StillHeldError
from fallow_pilots.watch import utc_now

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import FakeHub, FakeSlurm

Fallow = Callable[..., Result]
AWAY = "The hub does not answer. The launcher keeps to its policy; pilots join when the hub is back."


@pytest.fixture
def policy_file(tmp_path: Path, table_of: Callable[..., dict[str, Any]]) -> Path:
    node = tmp_path / "fallow-pilot-node"
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    table = table_of(str(tmp_path / "state"), assume={"node_command": str(node)})
    path = tmp_path / "policy.toml"
    lines = [f"state_dir = {json.dumps(table.pop('state_dir'))}"]
    for name, values in table.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def hub(make_hub: Callable[[], FakeHub], monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    hub = make_hub()
    hub.clock = utc_now()
    monkeypatch.setattr("fallow_pilots.centre.hub_client", lambda identity, dial: hub)
    return hub


@pytest.fixture
def fallow(policy_file: Path, slurm: FakeSlurm, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Fallow:
    monkeypatch.setenv("FALLOW_POLICY", str(policy_file))
    monkeypatch.setattr("fallow_pilots.stopping.POLL_S", 0.01)

    def call(line: str) -> Result:
        done = CliRunner().invoke(pilot, shlex.split(line))
        if isinstance(done.exception, FallowError):
            raise done.exception
        return done

    return call


def test_a_first_run_is_one_command(fallow: Fallow, slurm: FakeSlurm) -> None:
    assert fallow("run --once").exit_code == 0
    assert len(slurm.jobs) == 3


def test_a_dry_run_shows_the_command_and_starts_nothing(fallow: Fallow, slurm: FakeSlurm) -> None:
    fallow("run --once")
    slurm.set(nodes=5)
    shown = fallow("run --dry-run").output
    assert "2 pilots would start; limited by spare capacity" in shown
    assert "sbatch --parsable --export=NONE" in shown
    assert "fallow-pilot-node --spec" in shown
    assert len(slurm.jobs) == 3


def test_what_would_happen_is_known_before_the_first_pilot(fallow: Fallow, slurm: FakeSlurm) -> None:
    assert "3 pilots would start; limited by spare capacity" in fallow("run --dry-run").output
    assert json.loads(fallow("offer --json").output)["now"]["clause"] == "spare capacity"
    assert slurm.jobs == {}


def test_a_second_launcher_is_refused_and_cron_does_not_mind(fallow: Fallow, policy_file: Path) -> None:
    fallow("status")
    with only_one(Centre(policy_file).layout.lock):
        assert fallow("run --once").exit_code == 0
        with pytest.raises(RefusedError, match="Another launcher acts for this centre"):
            fallow("run")


def test_the_offer_names_the_clause_that_limits_it(fallow: Fallow) -> None:
    fallow("run --once")
    shown = json.loads(fallow("offer --json").output)
    assert shown["now"]["clause"] == "spare capacity"
    assert shown["offer"]["shapes"][0]["count"] == 3
    assert "spare capacity" in fallow("offer").output


def test_the_status_says_how_the_centre_stands(fallow: Fallow, hub: FakeHub) -> None:
    fallow("run --once")
    hub.away = True
    fallow("run --once")
    facts = json.loads(fallow("status --json").output)
    assert (facts["state"], facts["running"], facts["hub"]) == ("open", 3, AWAY)
    assert "alder" in fallow("status").output


def test_pilots_are_listed_the_newest_first(fallow: Fallow) -> None:
    fallow("run --once")
    rows = json.loads(fallow("list --json").output)
    assert [row["pilot"] for row in rows] == ["alder-3", "alder-2", "alder-1"]
    assert "alder-2" in fallow("list").output


def test_what_a_pilot_wrote_is_shown(fallow: Fallow, policy_file: Path) -> None:
    fallow("run --once")
    Centre(policy_file).layout.log("alder-2").write_text("node check passed\n")
    assert "node check passed" in fallow("log alder-2").output
    assert json.loads(fallow("log alder-2 --json").output)["log"] == "node check passed\n"
    with pytest.raises(UsageError, match=r"There is no pilot alder-9\. See `fallow pilot list`\."):
        fallow("log alder-9")


def test_a_withdrawal_returns_when_all_is_free_and_lasts_until_resume(
    fallow: Fallow, slurm: FakeSlurm, hub: FakeHub
) -> None:
    fallow("run --once")
    shown = fallow("withdraw").output
    assert "3 running, 0 queued" in shown
    assert "The capacity is free" in shown
    assert hub.published[-1].state.value == "withdrawn"
    fallow("run --once")
    assert len(slurm.jobs) == 3
    fallow("resume")
    assert hub.published[-1].state.value == "open"
    fallow("run --once")
    assert len(slurm.jobs) == 6


def test_a_withdrawal_now_asks_for_work_back_at_once(fallow: Fallow, slurm: FakeSlurm) -> None:
    fallow("run --once")
    fallow("withdraw --now")
    assert [job["signals"] for job in slurm.jobs.values()] == [["TERM"]] * 3


def test_a_withdrawal_needs_no_hub(fallow: Fallow, slurm: FakeSlurm, hub: FakeHub) -> None:
    fallow("run --once")
    hub.away = True
    assert fallow("withdraw").exit_code == 0
    assert {job["state"] for job in slurm.jobs.values()} == {"COMPLETED"}


def test_some_pilots_can_be_drained_while_the_centre_stays_open(fallow: Fallow, slurm: FakeSlurm) -> None:
    fallow("run --once")
    assert "1 pilots were asked to leave" in fallow("drain alder-2").output
    assert [job["state"] for job in slurm.jobs.values()] == ["RUNNING", "COMPLETED", "RUNNING"]
    assert json.loads(fallow("status --json").output)["state"] == "open"


def test_pilots_taken_back_by_name_are_not_replaced_before_resume(fallow: Fallow, slurm: FakeSlurm) -> None:
    fallow("run --once")
    shown = fallow("withdraw alder-2 alder-3").output
    assert "The capacity is free" in shown
    fallow("run --once")
    assert len(slurm.jobs) == 3
    assert json.loads(fallow("status --json").output)["state"] == "open"
    assert "Pilots were taken back by name" in fallow("offer").output
    fallow("resume")
    fallow("run --once")
    assert len(slurm.jobs) == 5


def test_a_second_withdrawal_by_name_adds_to_the_first(fallow: Fallow, slurm: FakeSlurm) -> None:
    slurm.set(obeyed=["TERM"])
    fallow("run --once")
    fallow("drain alder-1")
    fallow("withdraw --now alder-2")
    fallow("withdraw --now alder-1")
    fallow("run --once")
    assert len(slurm.jobs) == 3


def test_a_withdrawal_that_is_not_confirmed_in_time_has_an_exit_code_of_its_own(
    fallow: Fallow, slurm: FakeSlurm
) -> None:
    fallow("run --once")
    slurm.fails("scancel", code=1, complains="down\n")
    with pytest.raises(StillHeldError, match=r"Not gone yet: alder-1") as caught:
        fallow("withdraw --deadline 0 --patience 0")
    assert caught.value.exit_code == 5
    slurm.works()
    fallow("run --once")
    assert {job["state"] for job in slurm.jobs.values()} == {"CANCELLED"}


def test_a_drain_may_have_a_deadline_that_the_launcher_keeps(fallow: Fallow, slurm: FakeSlurm) -> None:
    slurm.set(obeyed=[])
    fallow("run --once")
    shown = fallow("drain --deadline 0").output
    assert "3 pilots were asked to leave" in shown
    assert "No launcher runs that would remove them at the deadline" in shown
    rows = json.loads(fallow("list --json").output)
    assert {(row["wish"], row["leave_by"] is not None) for row in rows} == {("drain", True)}
    assert {job["state"] for job in slurm.jobs.values()} == {"CANCELLED"}


def test_the_status_says_whether_a_launcher_runs(fallow: Fallow, policy_file: Path) -> None:
    assert json.loads(fallow("status --json").output)["launcher"] == "not running"
    with only_one(Centre(policy_file).layout.lock):
        facts = json.loads(fallow("status --json").output)
    assert facts["launcher"].startswith(f"process {os.getpid()} on ")
    assert facts["hub"] == "not asked yet"


def test_a_log_is_followed_until_the_pilot_has_ended(
    fallow: Fallow, slurm: FakeSlurm, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallow("run --once")
    log = Centre(policy_file).layout.log("alder-2")
    log.write_text("first\n")
    looks: list[float] = []

    def next_second(pause_s: float) -> None:
        looks.append(pause_s)
        with log.open("a") as stream:
            stream.write(f"line {len(looks)}\n")
        if len(looks) == 3:
            slurm.change_jobs(state="COMPLETED")

    monkeypatch.setattr("fallow_pilots.commands.look.sleep", next_second)
    shown = fallow("log --follow alder-2").output
    assert shown.startswith("first\nline 1\nline 2\nline 3\nalder-2: ended")
    with pytest.raises(UsageError, match="exclude each other"):
        fallow("log --follow --json alder-2")


def test_draining_all_stops_launches(fallow: Fallow, slurm: FakeSlurm) -> None:
    fallow("run --once")
    fallow("drain")
    fallow("run --once")
    assert len(slurm.jobs) == 3


def test_the_check_says_what_is_wrong_and_what_to_do(fallow: Fallow, slurm: FakeSlurm, hub: FakeHub) -> None:
    hub.away = True
    slurm.fails("sinfo", code=1, complains="no controller\n")
    done = fallow("check --json")
    findings = {finding["check"]: finding for finding in json.loads(done.output)}
    assert done.exit_code == 1
    assert {name for name, finding in findings.items() if not finding["fit"]} == {
        "batch system",
        "WLCG token",
        "hub",
        "policy: network.attached",
    }
    assert all(finding["fit"] or finding["finding"] for finding in findings.values())
    assert "token agent" in findings["WLCG token"]["remedy"]


def test_the_check_of_a_broken_policy_is_a_finding(fallow: Fallow, policy_file: Path) -> None:
    policy_file.write_text("state_dir = 3\n")
    findings = json.loads(fallow("check --json").output)
    assert [(finding["check"], finding["fit"]) for finding in findings] == [("policy", False)]


def test_a_changed_policy_comes_into_force_and_a_broken_one_does_not(
    fallow: Fallow, policy_file: Path, hub: FakeHub
) -> None:
    centre = Centre(policy_file)
    text = policy_file.read_text()

    def write(changed: str) -> None:
        policy_file.write_text(changed)
        os.utime(policy_file, (write.tick, write.tick))  # type: ignore[attr-defined]
        write.tick += 1  # type: ignore[attr-defined]

    write.tick = 1_000_000_000  # type: ignore[attr-defined]
    write(text.replace("max_pilots = 10", "max_pilots = 2"))
    centre.reload()
    assert centre.launcher.policy.limits.max_pilots == 2
    for broken in ("max_pilots = -1", "max_plots = 1"):
        write(text.replace("max_pilots = 10", broken))
        centre.reload()
        assert centre.launcher.policy.limits.max_pilots == 2
    write(text.replace('centre = "alder"', 'centre = "birch"'))
    centre.reload()
    assert centre.policy.identity.centre == "alder"


def test_a_unit_and_a_cron_line_name_this_installation(fallow: Fallow, policy_file: Path) -> None:
    command = Path(sys.executable).parent / "fallow"
    assert f'ExecStart="{command}" --verbose pilot run --policy "{policy_file}"' in fallow("unit").output
    assert f"{command} pilot run --once" in fallow("unit --cron").output
