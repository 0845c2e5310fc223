"""Whose account a pilot runs under, and what follows from it for the pilot."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.pilots.launcher.people.conftest import change, consents, held, records

from fallow.files import read_private
from fallow_pilots.accounts.consent import revoke
from fallow_pilots.accounts.deputy import answer
from fallow_pilots.accounts.messages import Request
from fallow_pilots.policy import Conditions
from fallow_pilots.spec import PilotSpec
from fallow_pilots.watch import KEPT

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre


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


def test_what_pilots_left_long_ago_is_removed(lent: TestCentre, homes: Path) -> None:
    consents(lent, homes, "ann")
    old = homes / "ann" / "pilots" / "pilots" / "alder-77"
    old.mkdir(parents=True)
    moment = (lent.now - KEPT - timedelta(days=400)).timestamp()
    os.utime(old, (moment, moment))
    lent.launcher.look()
    assert not old.exists()
