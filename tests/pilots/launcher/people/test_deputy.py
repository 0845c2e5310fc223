"""What a launcher believes of a person's deputy, and what a deputy does for a launcher."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from tests.pilots.launcher.people.conftest import consents, held, records

from fallow_pilots.accounts.deputy import answer
from fallow_pilots.accounts.messages import Request
from fallow_pilots.accounts.people import People
from fallow_pilots.credentials import Credentials
from fallow_pilots.order import Wish
from fallow_pilots.reconcile import ABSENT_S
from fallow_pilots.record import PilotRecord, State
from fallow_pilots.spec import PilotSpec
from fallow_pilots.watch import LATE

if TYPE_CHECKING:
    from tests.pilots.launcher.conftest import TestCentre


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
