"""The ledger over the gateway: who may see and write what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.matcher.conftest import GATEWAY, bearer

from fallow.reports import PilotReport
from fallow.rules import default_text, parse_rules
from fallow_matcher.database import writing
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build
from fallow_matcher.htcondor.idtokens import PILOT_RIGHTS
from fallow_matcher.ledger.ingest import record
from fallow_matcher.ledger.run import Outcome, Run
from fallow_matcher.simulation.apart import simulating

Header = dict[str, str]
NOW = 1_795_000_000.0


def run(number: int, consumer: str, provider: str, user: str = "alice") -> Run:
    """A run of 100 s on two cores."""
    return Run(
        global_job_id=f"queue@hub#{number}.0#1", run=1, job=f"{number}.0", provider=provider, pilot=f"{provider}-1",
        consumer=consumer, user=user, work_type="analysis", resource_class="cpu", cores=2, gpus=0, factor=1.0,
        requested_s=600, submitted=NOW - 200, started=NOW - 100, ended=NOW, wall_s=100.0, cpu_s=90.0,
        outcome=Outcome.DONE, reason="",
    )  # fmt: skip


@pytest.fixture
def recorded(services: Services) -> None:
    runs = [run(1, "north", "south"), run(2, "south", "north", "bob"), run(3, "south", "south", "bob")]
    with writing(services.database) as connection:
        record(connection, runs, parse_rules(default_text()), NOW)


@pytest.fixture
def pilot(services: Services) -> Callable[[str], Header]:
    """The header of a pilot of a centre."""

    def header(centre: str) -> Header:
        identity = f"pilot-{centre}@fallow.example.org"
        minted = services.mint.mint(
            f"pilot-{centre}", identity, PILOT_RIGHTS, now=1_700_000_000, expires=4_000_000_000
        )
        return {"Authorization": f"Bearer {minted.token}"}

    return header


def report(name: str = "north-1") -> dict[str, Any]:
    """A pilot's report."""
    moment = datetime.fromtimestamp(NOW, UTC)
    found = PilotReport(pilot=name, centre=name.rpartition("-")[0], written=moment, started=moment)
    return found.model_dump(mode="json")


def test_a_pilot_may_report_and_its_launcher_reads_it(
    client: TestClient, pilot: Callable[[str], Header], launcher: Header
) -> None:
    assert client.put("/v1/pilots/north-1/report", headers=pilot("north"), json=report()).status_code == 204
    assert client.get("/v1/pilots/north-1/report", headers=launcher).json()["pilot"] == "north-1"


def test_a_pilot_may_not_report_for_another_centre(
    client: TestClient, pilot: Callable[[str], Header]
) -> None:
    answer = client.put("/v1/pilots/south-1/report", headers=pilot("north"), json=report("south-1"))
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


def test_a_pilot_may_not_report_under_another_pilots_name(
    client: TestClient, pilot: Callable[[str], Header]
) -> None:
    answer = client.put("/v1/pilots/north-1/report", headers=pilot("north"), json=report("north-2"))
    assert answer.status_code == 422


def test_neither_user_nor_launcher_may_report(client: TestClient, alice: Header, launcher: Header) -> None:
    for header in (alice, launcher):
        assert client.put("/v1/pilots/north-1/report", headers=header, json=report()).status_code == 403


def test_a_report_is_for_the_launcher_of_its_centre_only(
    client: TestClient, pilot: Callable[[str], Header], alice: Header, launcher: Header
) -> None:
    client.put("/v1/pilots/south-1/report", headers=pilot("south"), json=report("south-1"))
    for header in (alice, launcher, pilot("south")):
        assert client.get("/v1/pilots/south-1/report", headers=header).status_code == 403


def test_a_pilot_that_never_reported_is_not_found(client: TestClient, launcher: Header) -> None:
    assert client.get("/v1/pilots/north-9/report", headers=launcher).status_code == 404


@pytest.mark.usefixtures("recorded")
def test_a_user_sees_every_centres_balance(client: TestClient, alice: Header) -> None:
    answer = client.get("/v1/ledger/balance", headers=alice).json()
    assert [each["centre"] for each in answer["balances"]] == ["north", "south"]
    assert sum(each["balance"] for each in answer["balances"]) == pytest.approx(0)


@pytest.mark.usefixtures("recorded")
def test_a_user_sees_sums_of_every_centre(client: TestClient, alice: Header) -> None:
    answer = client.get("/v1/ledger/usage?by=consumer&by=provider", headers=alice).json()
    assert [tuple(each["group"].values()) for each in answer["sums"]] == [
        ("north", "south"),
        ("south", "north"),
        ("south", "south"),
    ]


@pytest.mark.usefixtures("recorded")
def test_a_user_sees_lines_in_which_the_own_centre_takes_part(client: TestClient, alice: Header) -> None:
    answer = client.get("/v1/ledger/lines", headers=alice).json()
    assert (answer["centre"], [line["job"] for line in answer["lines"]]) == ("north", ["1.0", "2.0"])


@pytest.mark.usefixtures("recorded")
def test_a_launcher_sees_the_lines_of_its_centre(client: TestClient, launcher: Header) -> None:
    assert len(client.get("/v1/ledger/lines", headers=launcher).json()["lines"]) == 2


@pytest.mark.usefixtures("recorded")
def test_users_are_told_apart_only_at_the_own_centre(client: TestClient, alice: Header) -> None:
    own = client.get("/v1/ledger/usage?by=user", headers=alice).json()
    assert [each["group"]["user"] for each in own["sums"]] == ["alice"]
    other = client.get("/v1/ledger/usage?by=user&consumer=south", headers=alice)
    assert other.status_code == 403


PATHS = ["balance", "usage", "lines", "pilots", "reconciliation", "report/north?month=2026-11"]


@pytest.mark.parametrize("path", PATHS)
def test_a_pilot_may_not_read_the_ledger(
    client: TestClient, pilot: Callable[[str], Header], path: str
) -> None:
    assert client.get(f"/v1/ledger/{path}", headers=pilot("north")).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_a_token_that_may_not_look_at_jobs_does_not_open_the_ledger(
    client: TestClient, tokens: Any, path: str
) -> None:
    token = tokens.make("alice", scope="compute.cancel", groups=("/fallow/north",))
    answer = client.get(f"/v1/ledger/{path}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


@pytest.mark.parametrize("wanted", ["by=nonsense", "since=-1", "since=x", "consumer=../x", "after=-1"])
def test_what_cannot_be_meant_is_refused(client: TestClient, alice: Header, wanted: str) -> None:
    path = "lines" if wanted.startswith("after") else "usage"
    assert client.get(f"/v1/ledger/{path}?{wanted}", headers=alice).status_code == 422


@pytest.mark.usefixtures("recorded")
def test_single_differences_are_of_the_own_centre(client: TestClient, alice: Header) -> None:
    answer = client.get("/v1/ledger/reconciliation", headers=alice).json()
    assert {each["centre"] for each in answer["centres"]} == {"north", "south"}
    assert {each["pilot"] for each in answer["differences"]} == {"north-1"}


@pytest.mark.usefixtures("recorded")
def test_a_centres_people_and_launcher_read_its_report_of_a_month(
    client: TestClient, alice: Header, launcher: Header
) -> None:
    for header in (alice, launcher):
        found = client.get("/v1/ledger/report/north?month=2026-11", headers=header).json()
        assert [one["group"]["consumer"] for one in found["given"]] == ["south"]
        assert [one["group"]["provider"] for one in found["got"]] == ["south"]
        assert [(one["jobs"], one["alone_jobs"]) for one in found["waits"]] == [(1, 1)]
        assert found["digest"].startswith("sha256:")


@pytest.mark.usefixtures("recorded")
def test_only_an_operator_reads_the_report_of_another_centre(
    configured: Any, tokens: Any, alice: Header
) -> None:
    services = build(
        configured.model_copy(update={"operators": ["north.operator"]}), validate=tokens.validate
    )
    operator = bearer(tokens.make("operator", groups=("/fallow/north",)))
    with TestClient(create_app(services), base_url=GATEWAY) as client:
        answers = {
            who: client.get("/v1/ledger/report/south?month=2026-11", headers=header)
            for who, header in (("operator", operator), ("alice", alice))
        }
    services.close()
    assert answers["operator"].json()["centre"] == "south"
    assert (answers["alice"].status_code, answers["alice"].json()["error"]) == (403, "forbidden")


@pytest.mark.parametrize("month", ["", "?month=2026", "?month=2026-13", "?month=2026-1"])
def test_what_is_no_month_is_refused(client: TestClient, alice: Header, month: str) -> None:
    assert client.get(f"/v1/ledger/report/north{month}", headers=alice).status_code == 422


def test_a_report_waits_for_the_simulation_of_another(client: TestClient, alice: Header) -> None:
    with simulating:
        answer = client.get("/v1/ledger/report/north?month=2026-11", headers=alice)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
