"""The federation's page as anybody gets it."""

from __future__ import annotations

import asyncio
import gzip
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.matcher.board.conftest import ATTACK, offer

from fallow.errors import NotAvailableError
from fallow.rules import default_text
from fallow.rules.entry import Voice
from fallow_matcher import rules
from fallow_matcher.board import live, render
from fallow_matcher.gateway.services import Services
from fallow_matcher.simulation import apart

PUBLISHED = 'publish = ["balances", "capacity", "rules", "waiting", "waits"]'


def page(client: TestClient) -> str:
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.text


def section(html: str, name: str) -> str:
    """The text of one section without its tags; empty where it is not there."""
    found = re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])) if found else ""


def test_it_says_what_each_centre_offers_runs_and_uses(client: TestClient, busy: Services) -> None:
    told = section(page(client), "capacity")
    assert re.search(r"north open 12 8 5 3 0 \d{4}-", told), told
    assert "south none - - - - - -" in told


def test_it_draws_the_last_weeks_and_says_in_words_what_it_draws(client: TestClient, busy: Services) -> None:
    html = page(client)
    assert html.count("<svg") >= 1
    assert "north on average 12 cores offered, 8 running, 5 used, 3 idle" in section(html, "history")
    assert "south nothing was recorded" in section(html, "history")


def test_it_says_what_waits_without_asking_the_queue(client: TestClient, busy: Services) -> None:
    # The pool of this hub does not exist: a page that asked it would fail.
    assert "analysis cpu 1,234 1.5 min north 1,234" in section(page(client), "waiting")


def test_it_says_how_long_jobs_waited_and_would_have_alone(client: TestClient, busy: Services) -> None:
    assert "No job has run to its end yet." in section(page(client), "waits")
    busy.keeper.look_at_waits()
    busy.keeper.look()
    told = section(page(client), "waits")
    # North has no machine of its own that is known: alone it would have run nothing.
    assert "north cpu 4 10 min - 10 min - 0 of 4" in told


def test_it_says_what_each_centre_gave_and_its_balance(client: TestClient, busy: Services) -> None:
    told = section(page(client), "balances")
    assert re.search(r"north cpu 0\.00 -2\.00", told), told
    assert re.search(r"south cpu 2\.00 \+2\.00", told), told


def test_it_shows_the_rules_and_what_is_proposed_with_its_approvals(
    client: TestClient, busy: Services
) -> None:
    voice = Voice(centre="south", iss="https://iam.example.org", sub="south-admin", jti="1")
    document = f"# {ATTACK}\n" + default_text().replace("balance_factor = 8", "balance_factor = 4")
    now, centres = datetime.now(UTC), busy.settings.centre_names
    rules.propose(busy.database, document, voice, centres, now)
    told = section(page(client), "rules")
    assert "Version 1 is in force" in told
    assert "work_types.urgent.weight 4" in told
    assert "By south" in told
    assert "Approved by nobody yet: 0 of 2 needed" in told
    assert "balance_factor : 8 → 4" in told


def test_text_of_others_never_becomes_html(client: TestClient, busy: Services) -> None:
    html = page(client)
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html
    assert "<img" not in html


@pytest.mark.parametrize(
    ("publish", "shown"),
    [
        ("", {"capacity", "history"}),
        ("publish = []", set()),
        ('publish = ["rules", "waits"]', {"rules", "waits"}),
    ],
)
def test_only_what_the_rules_publish_is_shown(
    client: TestClient, busy: Services, monkeypatch: pytest.MonkeyPatch, publish: str, shown: set[str]
) -> None:
    monkeypatch.setattr(rules.force, "default_text", lambda: default_text().replace(PUBLISHED, publish))
    with busy.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rules_entry")
        connection.exec_driver_sql("DELETE FROM rules_head")
    assert set(re.findall(r'<section id="(\w+)"', page(client))) == shown


def test_rules_whose_history_is_broken_publish_nothing(client: TestClient, busy: Services) -> None:
    with busy.database.begin() as connection:
        connection.exec_driver_sql("UPDATE rules_entry SET body = replace(body, 'analysis', 'analysts')")
    assert "This federation publishes nothing on this page." in page(client)


def test_nothing_comes_from_elsewhere_and_no_script_is_in_the_page(
    client: TestClient, busy: Services
) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', answer.text)
    assert [each for each in addresses if not each.startswith(("/", "#"))] == []
    assert re.findall(r"<script(?! src=)", answer.text) == []


def test_its_files_are_there_and_may_be_kept(client: TestClient) -> None:
    for name, address in render.stamps().items():
        answer = client.get(address)
        assert answer.headers["content-type"].startswith(render.ASSETS[name])
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/board/0000000000000000/board.css").status_code == 404


def test_it_is_sent_packed_to_who_takes_that(client: TestClient, busy: Services) -> None:
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    packed = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text
    assert len(gzip.compress(plain.content)) < len(plain.content) / 2


def test_a_page_is_made_once_for_many_readers(client: TestClient, busy: Services) -> None:
    first = page(client)
    busy.offers.put(offer("south", "Weekends."), busy.keeper.now.figures.at)
    assert page(client) == first
    busy.keeper.look()
    assert "south open" in section(page(client), "capacity")


def test_a_database_that_fails_leaves_the_last_page(
    client: TestClient, busy: Services, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    first = page(client)

    def fails(*_: Any) -> Any:
        raise OperationalError("SELECT", None, Exception("disk full"))

    monkeypatch.setattr(busy.offers, "standing", fails)
    busy.keeper.look()
    assert page(client) == first
    assert "the page stays as it was" in caplog.text


def test_a_ledger_that_has_not_grown_is_not_simulated_again(
    busy: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy.keeper.look_at_waits()
    monkeypatch.setattr(apart, "alone", lambda *_: pytest.fail("simulated again"))
    busy.keeper.look_at_waits()


def test_a_simulation_that_takes_too_long_leaves_the_waits_as_measured(
    client: TestClient, busy: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> Any:
        raise NotAvailableError("The simulation of 4 jobs took more than 15 s.")

    monkeypatch.setattr(apart, "alone", fails)
    busy.keeper.look_at_waits()
    assert "north cpu 4 10 min - 10 min -" in section(page(client), "waits")
    assert "took more than 15 s" in caplog.text


async def first_events(services: Services, count: int) -> list[str]:
    found = []
    async for each in live.events(services.keeper, lambda board: board.public):
        found.append(each)
        if len(found) == count:
            break
    return found


def test_the_stream_begins_with_every_section_and_the_time(busy: Services) -> None:
    found = asyncio.run(first_events(busy, 7))
    names = [each.split("\n")[1].removeprefix("data: ") for each in found]
    assert names[:6] == ["capacity", "history", "waiting", "waits", "balances", "rules"]
    assert found[6].startswith("event: at\ndata: ")


def test_the_stream_goes_on_with_what_has_changed_alone(busy: Services) -> None:

    async def read() -> list[str]:
        found = []
        async for each in live.events(busy.keeper, lambda board: board.public):
            found.append(each)
            if len(found) == 7:
                busy.offers.put(offer("south", "Weekends."), busy.keeper.now.figures.at)
                busy.keeper.look()
            if len(found) == 8:
                break
        return found

    last = asyncio.run(read())[-1]
    assert last.startswith("event: section\ndata: capacity\n")
    assert "Weekends." in last


def test_text_with_line_ends_begins_no_event_of_its_own() -> None:
    assert live.event("at", "a\nevent: section\rdata: b\n\nc") == (
        "event: at\ndata: a\ndata: event: section\ndata: data: b\ndata: \ndata: c\n\n"
    )


def test_only_so_many_may_look_on(client: TestClient, busy: Services) -> None:
    busy.streams._value = 0
    assert client.get("/live").status_code == 503
