"""Pilots under the accounts of people: each is a home of its own with the real deputy, over one fake Slurm."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from fallow.errors import SettingsError
from fallow.files import read_private
from fallow_pilots.accounts import people
from fallow_pilots.accounts.consent import Consent, own_account, read_consent, revoke, write_consent
from fallow_pilots.accounts.deputy import answer
from fallow_pilots.accounts.messages import Request
from fallow_pilots.accounts.people import People
from fallow_pilots.cli import pilot
from fallow_pilots.credentials import Credentials
from fallow_pilots.order import Wish
from fallow_pilots.policy import Conditions
from fallow_pilots.reconcile import ABSENT_S
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.spec import PilotSpec
from fallow_pilots.watch import KEPT, LATE

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import FakeSlurm, TestCentre

HUB = "https://hub.example.org:8443"


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let deputies answer in this process where `become` is `env HOME=…`; one test starts the program itself."""
    real = people._run

    def run(argv: Sequence[str], request: str) -> bytes:
        if argv[0] != "env":
            return real(argv, request)
        home = Path(argv[1].partition("=")[2])
        return answer(Request.model_validate_json(request), home).model_dump_json().encode()

    monkeypatch.setattr(people, "_run", run)


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Where the people's homes are."""
    return tmp_path / "homes"


@pytest.fixture
def accounts(homes: Path) -> dict[str, Any]:
    """The policy's table: ann, charged to a project of hers, and ben."""
    people = [{"account": "ann", "batch_account": "proteins"}, {"account": "ben"}]
    return {"people": people, "become": ["env", f"HOME={homes}/{{account}}"]}


@pytest.fixture
def lent(make_centre: Callable[..., TestCentre], accounts: dict[str, Any]) -> TestCentre:
    """A centre whose pilots run under people's accounts."""
    return make_centre(accounts=accounts)


def consents(centre: TestCentre, homes: Path, account: str, **values: Any) -> Consent:
    home = homes / account
    home.mkdir(parents=True, exist_ok=True)
    told = {"hub": HUB, "directory": home / "pilots", "given": centre.now, **values}
    given = Consent(centre="alder", account=account, **told)
    write_consent(home, given)
    return given


def records(centre: TestCentre) -> list[PilotRecord]:
    return centre.store.records(centre.now - KEPT)


def held(centre: TestCentre) -> list[tuple[str | None, str]]:
    return [(record.account, record.state.value) for record in records(centre)]


def change(centre: TestCentre, account: str, **values: object) -> None:
    """Change the jobs of one person's pilots."""
    mine = {f"fallow-{record.pilot}" for record in records(centre) if record.account == account}
    state = centre.slurm.read()
    for job in state["jobs"].values():
        if job["name"] in mine:
            job.update(values)
    centre.slurm.write(state)


def test_pilots_go_to_the_account_that_has_fewest_and_are_charged_to_its_project(
    lent: TestCentre, homes: Path
) -> None:
    consents(lent, homes, "ann")
    consents(lent, homes, "ben")
    assert lent.launcher.cycle(60).launched == 3
    assert held(lent) == [("ann", "queued"), ("ben", "queued"), ("ann", "queued")]
    calls = [call for call in lent.slurm.read()["calls"] if call[0].endswith("sbatch")]
    assert ["--account=proteins" in call for call in calls] == [True, False, True]
    lent.launcher.cycle(60)
    assert held(lent) == [("ann", "running"), ("ben", "running"), ("ann", "running")]


def test_nothing_runs_under_an_account_without_consent_and_nothing_under_the_launchers_own(
    lent: TestCentre, homes: Path
) -> None:
    report = lent.launcher.cycle(60)
    assert (report.launched, report.clause) == (0, "halt")
    assert report.reason == (
        "ann has not consented: `fallow pilot consent`. ben has not consented: `fallow pilot consent`."
    )
    consents(lent, homes, "ben")
    lent.launcher.cycle(60)
    assert held(lent) == [("ben", "queued")] * 3


def test_the_launchers_own_account_is_used_too_where_the_policy_says_so(
    make_centre: Callable[..., TestCentre], accounts: dict[str, Any], homes: Path
) -> None:
    centre = make_centre(accounts={**accounts, "launcher_too": True})
    consents(centre, homes, "ann")
    centre.launcher.cycle(60)
    assert [account for account, _ in held(centre)] == [None, "ann", None]


def test_a_revoked_consent_ends_that_persons_pilots_and_no_other(lent: TestCentre, homes: Path) -> None:
    given = consents(lent, homes, "ann")
    consents(lent, homes, "ben")
    lent.launcher.cycle(60)
    revoke(homes / "ann", given, lent.now)
    lent.slurm.set(nodes=6)
    report = lent.launcher.cycle(60)
    assert [job.get("signals") for job in lent.slurm.jobs.values()][:3] == [["TERM"], None, ["TERM"]]
    assert report.launched
    assert {record.account for record in records(lent)[3:]} == {"ben"}
    view = lent.launcher.look()
    assert str(view.closed["ann"]).startswith("ann revoked the consent at ")


def test_who_is_not_named_any_more_keeps_no_pilot(
    lent: TestCentre, homes: Path, policy_of: Callable[..., Any], accounts: dict[str, Any]
) -> None:
    consents(lent, homes, "ann")
    consents(lent, homes, "ben")
    lent.launcher.cycle(60)
    named = {**accounts, "people": accounts["people"][1:]}
    lent.use(policy_of(str(lent.policy.state_dir), accounts=named))
    lent.launcher.cycle(60)
    assert [job.get("signals") for job in lent.slurm.jobs.values()][:3] == [["TERM"], None, ["TERM"]]


def test_the_centres_limits_hold_over_all_accounts(
    make_centre: Callable[..., TestCentre], accounts: dict[str, Any], homes: Path
) -> None:
    centre = make_centre(accounts=accounts, limits={"max_pilots": 2})
    consents(centre, homes, "ann")
    consents(centre, homes, "ben")
    centre.launcher.cycle(60)
    report = centre.launcher.cycle(60)
    assert sorted(held(centre)) == [("ann", "running"), ("ben", "running")]
    assert (report.launched, report.clause) == (0, "limits.max_pilots")


def test_a_person_whose_budget_is_spent_stops_nobody_else(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    consents(lent, homes, "ben")
    lent.slurm.set(held=True, nodes=2)
    lent.launcher.cycle(60)
    change(lent, "ann", reason="AssocGrpCPUMinutesLimit")
    lent.slurm.set(held=False, nodes=6)
    lent.launcher.cycle(60)
    added = [record.account for record in records(lent)[2:]]
    assert added
    assert set(added) == {"ben"}
    assert "AssocGrpCPUMinutesLimit" in str(lent.launcher.look().closed["ann"])


def test_an_account_that_may_not_submit_pauses_and_the_next_one_gets_its_turn(
    lent: TestCentre, homes: Path
) -> None:
    consents(lent, homes, "ann", hub="https://other.example.org")
    consents(lent, homes, "ben")
    assert lent.launcher.cycle(60).launched == 2, "what failed may exist, so it has its place"
    refused = records(lent)[0]
    assert refused.account == "ann"
    assert "consented to pilots of alder at https://other.example.org only, not to alder-1 at " in str(
        refused.reason
    )
    assert refused.reason is not None
    assert refused.reason in str(lent.launcher.look().closed["ann"])
    lent.wait(lent.policy.backoff.wait_s + 1)
    assert "ann" not in lent.launcher.look().closed, "it is tried again"


def test_pilots_join_no_hub_that_the_person_did_not_know_of(
    make_centre: Callable[..., TestCentre], accounts: dict[str, Any], homes: Path
) -> None:
    other = "https://hub2.example.org:8443"
    centre = make_centre(accounts=accounts, identity={"other_hub": other})
    consents(centre, homes, "ann")
    consents(centre, homes, "ben", other_hub=other)
    centre.launcher.cycle(60)
    assert [(record.account, record.native_id is None) for record in records(centre)][:2] == [
        ("ann", True),
        ("ben", False),
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"collector": "evil.example.org:9618"}, "consented to pilots of alder at"),
        ({"other_collector": "hub2.example.org:9618"}, "consented to pilots of alder at"),
        ({"pilot": "birch-7"}, "consented to pilots of alder at"),
        ({"pilot": "alder-7n1"}, "consented to pilots of alder at"),
        ({"collector": "hub.example.org:9618\nMASTER = /tmp/evil"}, "no request"),
        ({"other_collector": "hub.example.org:9618\nMASTER = /tmp/evil"}, "no request"),
        ({"trust_domain": "t\nMASTER = /tmp/evil"}, "no request"),
        ({"conditions": ["true)\nMASTER = /tmp/evil"]}, "no request"),
        ({"conditions": ["true) || (false"]}, "no request"),
        ({"conditions": ["((true)"]}, "no request"),
        ({"conditions": ["true /*"]}, "no request"),
        ({"conditions": ['"']}, "no request"),
        ({"conditions": ["\\"]}, "no request"),
        ({"cvmfs_copies": {"a.ch,/home/ann": "/apps/a.ch"}}, "no request"),
    ],
)
def test_a_launcher_that_was_taken_over_gets_no_more_from_a_deputy_than_pilots(
    lent: TestCentre,
    homes: Path,
    make_spec: Callable[..., PilotSpec],
    changed: dict[str, Any],
    said: str,
) -> None:
    consents(lent, homes, "ann")
    asked = {"spec": {**make_spec().model_dump(mode="json"), **changed}, "nodes": 1}
    try:
        request = Request.model_validate({"centre": "alder", "batch": {}, "start": asked})
    except ValidationError:
        told = "no request"
    else:
        told = str(answer(request, homes / "ann").trouble)
    assert said in told
    assert lent.slurm.jobs == {}


def test_pilots_keep_images_where_the_person_knew_of_and_write_no_other_file(
    make_centre: Callable[..., TestCentre],
    accounts: dict[str, Any],
    homes: Path,
    make_spec: Callable[..., PilotSpec],
) -> None:
    centre = make_centre(accounts=accounts)
    consents(centre, homes, "ann", images=Path("/apps/images"))
    place = homes / "ann" / "pilots"
    for number, store, kept in (
        (7, "/apps/images", Path("/apps/images")),
        (8, "/home/ann", place / "images"),
    ):
        spec = make_spec(pilot=f"alder-{number}", image_store_dir=store, findings_file="/home/ann/.bashrc")
        start = {"spec": spec, "nodes": 1}
        done = answer(Request.model_validate({"centre": "alder", "batch": {}, "start": start}), homes / "ann")
        assert done.trouble is None
        told = PilotSpec.read(place / "pilots" / f"alder-{number}" / "spec.json")
        assert (told.image_store_dir, told.findings_file) == (kept, None)


def test_each_person_has_a_token_of_their_own_in_files_of_their_own(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    consents(lent, homes, "ben")
    lent.launcher.cycle(60)
    tokens = [read_private(homes / account / "pilots" / "token") for account in ("ann", "ben")]
    assert len({*tokens, read_private(lent.layout.token)}) == 3
    place = homes / "ann" / "pilots"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    spec = PilotSpec.read(place / "pilots" / "alder-1" / "spec.json")
    assert (spec.token_file, spec.image_store_dir) == (place / "token", place / "images")
    assert spec.outcome_file == place / "pilots" / "alder-1" / "outcome.json"


def test_a_renewed_token_reaches_the_person(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    lent.launcher.cycle(60)
    before = read_private(homes / "ann" / "pilots" / "token")
    lent.wait(lent.hub.life_s / 2 + 1)
    lent.slurm.set(nodes=6)
    lent.launcher.cycle(60)
    lent.launcher.cycle(60)
    assert read_private(homes / "ann" / "pilots" / "token") not in {before, None}


def test_pilots_of_an_account_that_takes_no_more_have_their_tokens_renewed_too(
    lent: TestCentre, homes: Path
) -> None:
    consents(lent, homes, "ann")
    lent.launcher.cycle(60)
    before = read_private(homes / "ann" / "pilots" / "token")
    change(lent, "ann", state="PENDING", reason="AssocGrpCPUMinutesLimit")
    lent.slurm.set(held=True)
    lent.wait(lent.hub.life_s / 2 + 1)
    for _ in range(2):
        lent.launcher.cycle(60)
    assert "AssocGrpCPUMinutesLimit" in str(lent.launcher.look().closed["ann"])
    assert read_private(homes / "ann" / "pilots" / "token") not in {before, None}


def test_a_person_may_demand_more_of_jobs_than_the_policy(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann", serves=Conditions(projects=("proteins",)))
    lent.launcher.cycle(60)
    spec = PilotSpec.read(homes / "ann" / "pilots" / "pilots" / "alder-1" / "spec.json")
    assert spec.conditions[-1] == '(TARGET.FallowProject =?= "proteins")'


def test_payloads_see_the_sites_directories_only_as_far_as_the_person_knew_of_them(
    make_centre: Callable[..., TestCentre], accounts: dict[str, Any], homes: Path
) -> None:
    copies = [{"repository": name, "directory": f"/apps/{name}"} for name in ("old.cern.ch", "new.cern.ch")]
    centre = make_centre(accounts=accounts, assume={"cvmfs_copies": copies, "image_copies": ["/apps/images"]})
    consents(centre, homes, "ann", copies=(Path("/apps/old.cern.ch"),))
    centre.launcher.cycle(60)
    spec = PilotSpec.read(homes / "ann" / "pilots" / "pilots" / "alder-1" / "spec.json")
    assert spec.cvmfs_copies == {"old.cern.ch": Path("/apps/old.cern.ch")}
    assert spec.image_copies == ()


def test_nothing_follows_from_an_account_that_does_not_answer(
    lent: TestCentre, homes: Path, policy_of: Callable[..., Any], accounts: dict[str, Any]
) -> None:
    consents(lent, homes, "ann")
    lent.slurm.set(nodes=1)
    lent.launcher.cycle(60)
    lent.launcher.cycle(60)
    silent = {**accounts, "become": ["sh", "-c", "echo no {account} >&2; exit 3"]}
    lent.use(policy_of(str(lent.policy.state_dir), accounts=silent))
    lent.wait(600)
    lent.launcher.cycle(60)
    assert held(lent) == [("ann", "running")]
    assert lent.launcher.look().closed["ann"] == "sh failed with exit code 3: no ann"
    lent.wait(lent.policy.pilot.walltime_s + LATE.total_seconds())
    lent.launcher.cycle(60)
    lent.wait(ABSENT_S)
    lent.launcher.cycle(60)
    assert held(lent) == [("ann", "lost")], "it cannot run any more"


def test_a_drain_does_not_wait_for_an_account_that_does_not_answer(
    lent: TestCentre, policy_of: Callable[..., Any], accounts: dict[str, Any]
) -> None:
    lent.store.intend(PilotRecord("", State.INTENT, 4, 0, 3600, lent.now, account="ann"))
    silent = {**accounts, "become": ["sh", "-c", "echo no {account} >&2; exit 3"]}
    lent.use(policy_of(str(lent.policy.state_dir), accounts=silent))
    (left,) = lent.launcher.stopper.drain(None, None)
    assert (left.account, left.wish) == ("ann", Wish.DRAIN)


def test_a_deputy_is_believed_of_its_own_persons_pilots_only(
    lent: TestCentre, homes: Path, tmp_path: Path, policy_of: Callable[..., Any], accounts: dict[str, Any]
) -> None:
    consents(lent, homes, "ann")
    consents(lent, homes, "ben")
    lent.launcher.cycle(60)
    moment = lent.now.isoformat()
    over = {"code": 500, "reason": "broken", "started": moment, "ended": moment}
    jobs = [
        {"name": f"fallow-alder-{n}", "native_id": str(n), "phase": "ended", "detail": "FAILED"}
        for n in (1, 2, 9)
    ]
    forged = {"jobs": jobs, "outcomes": {"alder-1": over, "alder-2": over}}
    (tmp_path / "ben.json").write_text(f"Welcome to alder, ben\n{json.dumps(forged)}\n")
    lies = {**accounts, "become": ["sh", "-c", f"cat {tmp_path}/{{account}}.json"]}
    them = People(policy_of(accounts=lies), lent.layout, partial(Credentials, lent.hub, lent.store))
    seen = them.look(records(lent), ["alder-1", "alder-2"])
    assert (set(seen.jobs), set(seen.outcomes)) == ({"alder-2"}, {"alder-2"})
    for nonsense in (
        {"outcomes": {"alder-2": {**over, "busy_core_s": 10**30}}},
        {"outcomes": {"alder-2": {**over, "jobs_run": 10**30}}},
        {"jobs": [{**jobs[1], "started": "0001-01-01T00:00:00+14:00"}]},
    ):
        (tmp_path / "ben.json").write_text(json.dumps(nonsense))
        assert them.look(records(lent), []).silent["ben"] == "The deputy of ben answered nonsense."
    (tmp_path / "ben.json").write_text("{" * 10)
    assert them.look(records(lent), []).silent["ben"] == "The deputy of ben answered nonsense."


def test_the_deputy_stops_what_it_can_name_only(lent: TestCentre, homes: Path) -> None:
    given = consents(lent, homes, "ann")
    (homes / "ann" / "pilots").mkdir()
    state = lent.slurm.read()
    state["jobs"]["7"] = {"name": "her-own-work", "state": "RUNNING", "node": "n1", "cores": 1}
    lent.slurm.write(state)
    request = {
        "centre": "alder",
        "batch": {},
        "stop": {"how": "kill", "orders": {"alder-7": {"wish": "withdraw"}}},
    }
    deputy = Path(sys.executable).with_name("fallow-pilot-deputy")
    answers = [
        subprocess.run(
            ["env", f"HOME={homes}/ann", deputy], input=text, capture_output=True, text=True, check=True
        ).stdout
        for text in (json.dumps(request), "cat /etc/passwd")
    ]
    assert json.loads(answers[0])["consent"]["given"] == given.model_dump(mode="json")["given"]
    assert "does not understand" in json.loads(answers[1])["trouble"]
    assert "signals" not in lent.slurm.jobs["7"]


def test_a_consent_that_others_could_have_written_does_not_count(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    path = homes / "ann" / ".config" / "fallow" / "consent" / "alder.json"
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 0644"):
        read_consent(homes / "ann", "alder")
    assert "mode 0644" in lent.launcher.look().closed["ann"]


def test_what_pilots_left_long_ago_is_removed(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    old = homes / "ann" / "pilots" / "pilots" / "alder-77"
    old.mkdir(parents=True)
    moment = (lent.now - KEPT - timedelta(days=400)).timestamp()
    os.utime(old, (moment, moment))
    lent.launcher.look()
    assert not old.exists()


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `fallow pilot consent` for whoever runs the test, at a centre that names this account."""
    monkeypatch.setenv("HOME", str(tmp_path))
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'state_dir = "{tmp_path}/state"\n[identity]\ncentre = "alder"\nhub = "{HUB}"\n'
        'token_file = "/etc/fallow/token"\n[pilot]\ncores = 4\nmemory_mb = 2000\n[limits]\nmax_pilots = 1\n'
        '[accounts]\nbecome = ["sudo", "-u", "{account}"]\n'
        f'[[accounts.people]]\naccount = "{own_account()}"\n'
    )
    return lambda *argv: CliRunner().invoke(pilot, ["consent", "--policy", str(policy), *argv])


def test_a_person_consents_looks_and_revokes(
    tmp_path: Path, slurm: FakeSlurm, mine: Callable[..., Any]
) -> None:
    assert "has never consented" in str(mine("--show").exception)
    said = mine("--project", "proteins").output
    assert f"may run under your account {own_account()}" in said
    assert "of these only those of proteins" in said
    assert json.loads(mine("--show", "--json").output)["serves"] == {"projects": ["proteins"]}
    assert mine("--revoke").output.startswith("0 pilots of yours were asked to leave now")
    assert "Revoked at" in mine("--show").output
    policy = tmp_path / "policy.toml"
    policy.write_text(policy.read_text().replace(f'account = "{own_account()}"', 'account = "somebody"'))
    assert f"does not name {own_account()}" in str(mine().exception)


def test_who_consents_again_keeps_the_directory_and_moves_it_only_where_no_pilot_uses_it(
    tmp_path: Path, slurm: FakeSlurm, mine: Callable[..., Any]
) -> None:
    mine("--directory", str(tmp_path / "first"))
    assert f"Their files lie in {tmp_path}/first." in mine("--project", "proteins").output
    slurm.set(jobs={"7": {"name": "fallow-alder-7", "state": "RUNNING", "node": "n1", "cores": 1}})
    moved = mine("--directory", str(tmp_path / "second"))
    assert f"alder-7 of yours keep their files in {tmp_path}/first." in str(moved.exception)
    assert f"lie in {tmp_path}/first." in mine("--show").output
    assert f"lie in {tmp_path}/first." in mine("--directory", str(tmp_path / "first")).output
    slurm.set(jobs={})
    assert f"lie in {tmp_path}/second." in mine("--directory", str(tmp_path / "second")).output


def test_the_admin_sees_who_lends_an_account(
    lent: TestCentre, homes: Path, tmp_path: Path, accounts: dict[str, Any]
) -> None:
    consents(lent, homes, "ann")
    lent.launcher.cycle(60)
    policy = tmp_path / "policy.toml"
    named = "".join(
        "[[accounts.people]]\n" + "".join(f'{name} = "{value}"\n' for name, value in person.items())
        for person in accounts["people"]
    )
    policy.write_text(
        f'state_dir = "{lent.policy.state_dir}"\n[identity]\ncentre = "alder"\nhub = "{HUB}"\n'
        'token_file = "/etc/fallow/token"\n[pilot]\ncores = 4\nmemory_mb = 2000\n[limits]\nmax_pilots = 10\n'
        f"[accounts]\nbecome = {json.dumps(accounts['become'])}\n{named}"
    )
    done = CliRunner().invoke(pilot, ["accounts", "--policy", str(policy), "--json"])
    rows = {row["account"]: row for row in json.loads(done.output)}
    assert (rows["ann"]["pilots"], rows["ann"]["batch_account"], rows["ann"]["takes_no_more"]) == (
        3,
        "proteins",
        None,
    )
    assert rows["ben"]["takes_no_more"] == "ben has not consented: `fallow pilot consent`."
    unit = CliRunner().invoke(pilot, ["unit", "--policy", str(policy)]).output
    assert "NoNewPrivileges" not in unit, "sudo could not do anything"
    log = CliRunner().invoke(pilot, ["log", "alder-1", "--policy", str(policy)])
    assert "alder-1 is a pilot of ann's" in str(log.exception)
