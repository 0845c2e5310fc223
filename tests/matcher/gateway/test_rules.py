"""The rules over the gateway: who may propose and approve, and what each refusal says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, update

from fallow.rules import default_text, digest_of
from fallow.rules.entry import Line, Voice
from fallow.rules.history import replay
from fallow_matcher import rules
from fallow_matcher.database import writing
from fallow_matcher.gateway import rules as routes
from fallow_matcher.gateway.app import create_app
from fallow_matcher.gateway.services import Services, build
from fallow_matcher.ledger.tables import RUN
from fallow_matcher.rules import store
from fallow_matcher.simulation.apart import simulating

Header = dict[str, str]
Admin = Callable[[str], Header]
FASTER = default_text().replace("ageing_s = 3600", "ageing_s = 600")
FASTEST = default_text().replace("ageing_s = 3600", "ageing_s = 60")
UNKNOWN = "sha256:" + "1" * 64


def propose(client: TestClient, header: Header, document: str = FASTER) -> Any:
    return client.post("/v1/rules/proposals", headers=header, json={"document": document})


def approve(client: TestClient, header: Header, digest: str = digest_of(FASTER)) -> Any:
    return client.post("/v1/rules/approvals", headers=header, json={"digest": digest})


def test_a_new_federation_has_the_shipped_rules(client: TestClient, alice: Header) -> None:
    found = client.get("/v1/rules", headers=alice).json()
    assert (found["version"], found["digest"]) == (1, digest_of(default_text()))
    assert (found["centres"], found["approvals_needed"], found["proposals"]) == (["north", "south"], 2, [])


def test_rules_take_effect_when_the_quorum_has_approved_them(client: TestClient, admin: Admin) -> None:
    proposed = propose(client, admin("north")).json()
    assert proposed["version"] == 1
    assert proposed["proposals"][0]["approved_by"] == []
    one = approve(client, admin("north")).json()
    assert (one["version"], one["proposals"][0]["approved_by"]) == (1, ["north"])
    both = approve(client, admin("south")).json()
    assert (both["version"], both["digest"], both["proposals"]) == (2, digest_of(FASTER), [])


def test_an_approval_given_twice_counts_once(client: TestClient, admin: Admin) -> None:
    propose(client, admin("north"))
    approve(client, admin("north"))
    again = approve(client, admin("north"))
    assert (again.status_code, again.json()["version"]) == (200, 1)
    seen = client.get("/v1/rules/history", headers=admin("north")).json()["entries"]
    assert len(seen) == 3


def test_an_approval_of_another_digest_is_refused_and_names_what_is_open(
    client: TestClient, admin: Admin
) -> None:
    propose(client, admin("north"))
    answer = approve(client, admin("south"), UNKNOWN)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert UNKNOWN in answer.json()["error_description"]
    assert digest_of(FASTER) in answer.json()["error_description"]


@pytest.mark.parametrize("call", [propose, approve])
def test_only_a_person_of_the_admin_group_speaks_for_a_centre(
    client: TestClient, alice: Header, launcher: Header, call: Callable[[TestClient, Header], Any]
) -> None:
    for header in (alice, launcher):
        answer = call(client, header)
        assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
        assert "admin group" in answer.json()["error_description"]


def test_a_centre_that_is_none_of_the_federations_is_refused(client: TestClient, admin: Admin) -> None:
    answer = propose(client, admin("west"))
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert answer.json()["error_description"].startswith("west is no centre of this federation.")


def test_the_admin_group_of_another_centre_is_none(client: TestClient, tokens: Any) -> None:
    token = tokens.make("eve", groups=("/fallow/north", "/fallow/south/admin"))
    assert propose(client, {"Authorization": f"Bearer {token}"}).status_code == 403


def test_a_centre_may_name_another_admin_group(configured: Any, tokens: Any) -> None:
    north = configured.centres[0].model_copy(update={"admin_group": "/vo/rules"})
    services = build(
        configured.model_copy(update={"centres": [north, configured.centres[1]]}), validate=tokens.validate
    )
    with TestClient(create_app(services), base_url="https://hub.example.org:8443") as client:
        for group, status in (("/vo/rules", 200), ("/fallow/north/admin", 403)):
            token = tokens.make("alice", groups=("/fallow/north", group))
            assert propose(client, {"Authorization": f"Bearer {token}"}).status_code == status
    services.close()


def test_an_expired_token_is_refused(client: TestClient, tokens: Any) -> None:
    token = tokens.make("admin", groups=("/fallow/north", "/fallow/north/admin"), life_s=-1)
    answer = approve(client, {"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "token_expired")


def test_invalid_rules_are_refused_with_the_field(client: TestClient, admin: Admin) -> None:
    answer = propose(client, admin("north"), FASTER.replace("credit_line = 0.5", "credit_line = 2"))
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert "credit_line" in answer.json()["error_description"]


def test_a_benchmark_of_a_stranger_is_refused(client: TestClient, admin: Admin) -> None:
    answer = propose(client, admin("north"), FASTER + "west = 1.5\n")
    assert (answer.status_code, answer.json()["error_description"]) == (
        422,
        "benchmark: west is no centre of this federation.",
    )


def test_the_rules_in_force_cannot_be_proposed(client: TestClient, admin: Admin) -> None:
    answer = propose(client, admin("north"), default_text())
    assert (answer.status_code, answer.json()["error"]) == (409, "in_force")


def test_the_same_rules_proposed_again_are_one_proposal(client: TestClient, admin: Admin) -> None:
    propose(client, admin("north"))
    again = propose(client, admin("south"), "# the same, said otherwise\n" + FASTER)
    assert [found["proposed_by"] for found in again.json()["proposals"]] == ["north"]


def test_a_centre_has_a_bounded_number_of_open_proposals(client: TestClient, admin: Admin) -> None:
    header = admin("north")
    for ageing_s in range(1, 6):
        assert propose(client, header, FASTER.replace("600", str(ageing_s))).status_code == 200
    answer = propose(client, header, FASTEST)
    assert (answer.status_code, answer.json()["error"]) == (409, "too_many_proposals")


def test_what_was_proposed_beside_rules_that_took_effect_lapses(client: TestClient, admin: Admin) -> None:
    for document in (FASTER, FASTEST):
        propose(client, admin("north"), document)
    approve(client, admin("north"), digest_of(FASTEST))
    for centre in ("north", "south"):
        approve(client, admin(centre))
    assert approve(client, admin("south"), digest_of(FASTEST)).status_code == 404


def test_the_history_comes_in_pages_that_anybody_can_check(
    client: TestClient, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PAGE_ENTRIES", 2)
    propose(client, admin("north"))
    for centre in ("north", "south"):
        approve(client, admin(centre))
    found: list[Line] = []
    more = True
    while more:
        page = client.get("/v1/rules/history", params={"after": len(found)}, headers=admin("south")).json()
        found += [Line(**line) for line in page["entries"]]
        more = page["more"]
    assert (len(found), replay(found).version) == (5, 2)


def test_a_history_that_was_tampered_with_stops_all_votes(
    client: TestClient, services: Services, admin: Admin
) -> None:
    propose(client, admin("north"))
    with writing(services.database) as connection:
        connection.execute(update(store.ENTRY).where(store.ENTRY.c.seq == 2).values(hash=UNKNOWN))
    answer = approve(client, admin("north"))
    assert (answer.status_code, answer.json()["error"]) == (500, "history_broken")
    assert answer.json()["error_description"].startswith("Entry 2 of the history")


def test_a_centre_that_left_counts_no_longer(configured: Any, tokens: Any, admin: Admin) -> None:
    services = build(configured, validate=tokens.validate)
    now = datetime.now(UTC)
    north = Voice(centre="north", iss="https://iam.example.org", sub="x", jti="y")
    centres = configured.centre_names
    rules.propose(services.database, FASTER, north, centres, now)
    rules.approve(services.database, digest_of(FASTER), north, centres, now)
    assert rules.in_force(services.database).version == 1
    services.close()
    left = configured.model_copy(update={"centres": configured.centres[:1]})
    services = build(left, validate=tokens.validate)
    assert rules.in_force(services.database).version == 2
    services.close()


def test_votes_wait_for_a_database_that_is_full(client: TestClient, services: Services, admin: Admin) -> None:
    with services.database.connect() as connection:  # the pool's one connection keeps the limit
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    big = "# " + "x" * 60_000 + "\n" + FASTER
    answer = propose(client, admin("north"), big)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    with services.database.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert propose(client, admin("north"), big).json()["proposals"][0]["digest"] == digest_of(FASTER)


def simulate(client: TestClient, header: Header, document: str = FASTER) -> Any:
    return client.post("/v1/rules/simulation", headers=header, json={"document": document})


def test_a_simulation_needs_recorded_work(client: TestClient, alice: Header) -> None:
    answer = simulate(client, alice)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert "has recorded no job" in answer.json()["error_description"]


def test_invalid_rules_are_not_simulated(client: TestClient, alice: Header) -> None:
    answer = simulate(client, alice, "ageing_s = 1")
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")


def test_a_launcher_simulates_nothing(client: TestClient, launcher: Header) -> None:
    assert simulate(client, launcher).status_code == 403


def test_a_simulation_shows_each_centre_under_both_rules(
    client: TestClient, services: Services, alice: Header
) -> None:
    ran = {
        "run": 1,
        "job": "1.0",
        "pilot": "north-1",
        "user": "alice",
        "work_type": "analysis",
        "resource_class": "cpu",
        "cores": 1,
        "gpus": 0,
        "factor": 1.0,
        "requested_s": 600,
        "reason": "",
        "outcome": "done",
        "value": 0.0,
    }
    with writing(services.database) as connection:
        for number in range(40):
            consumer, at = ("north", "south")[number % 2], 1000.0 + number
            moments = {"submitted": at, "started": at, "ended": at + 100, "wall_s": 100.0, "valued_at": at}
            about = {"global_job_id": f"hub#{number}", "provider": "north", "consumer": consumer}
            connection.execute(insert(RUN).values(**ran, **moments, **about))
    found = simulate(client, alice).json()
    assert (found["version"], found["load"].split()[0]) == (1, "40")
    assert [each["centre"] for each in found["proposed"]] == ["north", "south"]
    assert [each["jobs"] for each in found["current"]] == [20, 20]


def test_simulations_run_one_at_a_time(client: TestClient, alice: Header) -> None:
    with simulating:
        answer = simulate(client, alice)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
