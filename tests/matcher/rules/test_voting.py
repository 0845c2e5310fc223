"""Votes on the rules: what counts, what takes effect, and that the database's history cannot be changed unseen."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection, Engine, delete, select, update

from fallow.errors import SettingsError
from fallow.rules import Quorum, default_text, digest_of, parse_rules
from fallow.rules.entry import Voice
from fallow.rules.history import PROPOSAL_LIFE, HistoryError, State, replay
from fallow_matcher import rules
from fallow_matcher.database import open_database, writing
from fallow_matcher.rules import store

NOW = datetime(2126, 11, 21, 12, tzinfo=UTC)
CENTRES = ["alder", "birch", "cedar"]
EVERYBODY = [*CENTRES, "doria", "elver"]


def voice(centre: str) -> Voice:
    return Voice(centre=centre, iss="https://issuer.example.org", sub=f"admin-{centre}", jti="jti")


def document(ageing_s: int, quorum: str = "two-thirds") -> str:
    text = default_text().replace("ageing_s = 3600", f"ageing_s = {ageing_s}")
    return text.replace('"two-thirds"', f'"{quorum}"')


FASTER = document(600)
DOCUMENTS = [document(ageing_s, quorum) for ageing_s in (60, 600) for quorum in ("majority", "all")]


def agree(database: Engine, text: str, *centres: str, now: datetime = NOW) -> State:
    rules.propose(database, text, voice("alder"), CENTRES, now)
    for centre in centres:
        state = rules.approve(database, digest_of(text), voice(centre), CENTRES, now)
    return state


def test_a_new_hub_goes_by_the_shipped_rules(database: Engine) -> None:
    found = rules.in_force(database)
    assert (found.version, found.digest, found.rules) == (
        1,
        digest_of(default_text()),
        parse_rules(default_text()),
    )
    assert rules.in_force(database) == found


def test_rules_are_in_force_once_a_quorum_approved_them(database: Engine) -> None:
    agree(database, FASTER, "alder")
    assert rules.in_force(database).version == 1
    rules.approve(database, digest_of(FASTER), voice("cedar"), CENTRES, NOW + timedelta(hours=1))
    found = rules.in_force(database)
    assert (found.version, found.digest, found.rules.ageing_s) == (2, digest_of(FASTER), 600)
    assert found.since == NOW + timedelta(hours=1)


def test_the_quorum_of_the_rules_in_force_decides_not_that_of_the_proposal(database: Engine) -> None:
    agree(database, document(600, "all"), "alder", "birch")
    agree(database, document(60, "majority"), "alder", "birch")
    assert rules.in_force(database).rules.quorum is Quorum.ALL


def test_one_centre_alone_cannot_bring_rules_into_force_by_repeating_itself(database: Engine) -> None:
    agree(database, FASTER, "alder", "alder", "alder")
    assert rules.in_force(database).version == 1


def test_an_approval_that_comes_late_is_kept_and_changes_nothing(database: Engine) -> None:
    state = agree(database, FASTER, "alder", "birch", "cedar")
    assert (state.version, [each.centre for each in state.approvals]) == (2, CENTRES)


def test_an_approval_of_a_proposal_that_lapsed_is_refused(database: Engine) -> None:
    agree(database, FASTER, "alder")
    with pytest.raises(rules.VoteError, match="Open: none"):
        rules.approve(database, digest_of(FASTER), voice("birch"), CENTRES, NOW + PROPOSAL_LIFE)


def test_an_approval_for_a_centre_that_left_is_refused(database: Engine) -> None:
    rules.propose(database, FASTER, voice("alder"), CENTRES, NOW)
    with pytest.raises(rules.VoteError, match="doria is no centre of this federation"):
        rules.approve(database, digest_of(FASTER), voice("doria"), CENTRES, NOW)


def test_invalid_rules_are_not_recorded(database: Engine) -> None:
    with pytest.raises(SettingsError, match="ageing_s"):
        rules.propose(database, document(0), voice("alder"), CENTRES, NOW)
    assert len(rules.history(database)) == 1


def test_a_clock_that_was_set_back_leaves_a_sound_history(database: Engine) -> None:
    rules.propose(database, FASTER, voice("alder"), CENTRES, NOW)
    state = rules.approve(database, digest_of(FASTER), voice("alder"), CENTRES, NOW - timedelta(days=1))
    assert state.at == NOW


def test_votes_at_the_same_moment_are_all_kept(database: Engine) -> None:
    rules.propose(database, document(600, "all"), voice("alder"), EVERYBODY, NOW)
    digest = digest_of(document(600, "all"))
    failed: list[Exception] = []

    def vote(centre: str) -> None:
        try:
            rules.approve(database, digest, voice(centre), EVERYBODY, NOW)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the test's result
            failed.append(error)

    threads = [threading.Thread(target=vote, args=(centre,)) for centre in EVERYBODY for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    state = rules.current(database)
    assert (state.version, sorted(each.centre for each in state.approvals)) == (2, EVERYBODY)


def _edit(connection: Connection) -> None:
    body = connection.execute(select(store.ENTRY.c.body).where(store.ENTRY.c.seq == 2)).scalar_one()
    edited = body.replace("ageing_s = 600", "ageing_s = 601")
    connection.execute(update(store.ENTRY).where(store.ENTRY.c.seq == 2).values(body=edited))


def _swap(connection: Connection) -> None:
    rows = connection.execute(select(store.ENTRY).where(store.ENTRY.c.seq.in_((3, 4))).order_by("seq")).all()
    for seq, row in zip((4, 3), rows, strict=True):
        connection.execute(
            update(store.ENTRY).where(store.ENTRY.c.seq == seq).values(body=row.body, hash=row.hash)
        )


TAMPERINGS: dict[str, Callable[[Connection], object]] = {
    "edited": _edit,
    "order": _swap,
    "first": lambda connection: connection.execute(delete(store.ENTRY).where(store.ENTRY.c.seq == 1)),
    "middle": lambda connection: connection.execute(delete(store.ENTRY).where(store.ENTRY.c.seq == 3)),
    "last": lambda connection: connection.execute(delete(store.ENTRY).where(store.ENTRY.c.seq == 5)),
    "all": lambda connection: connection.execute(delete(store.ENTRY)),
    "head": lambda connection: connection.execute(delete(store.HEAD)),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_a_history_that_was_tampered_with_gives_no_rules_and_takes_no_votes(
    database: Engine, how: str
) -> None:
    agree(database, FASTER, "alder", "birch")
    with writing(database) as connection:
        TAMPERINGS[how](connection)
    with pytest.raises(HistoryError):
        rules.in_force(database)
    with pytest.raises(HistoryError):
        rules.approve(database, digest_of(FASTER), voice("cedar"), CENTRES, NOW)


class Federation(RuleBasedStateMachine):
    """Centres that join, leave, propose and approve in any order, beside a plain model of who approved what."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.database = open_database(f"sqlite:///{Path(self._folder.name) / 'fallow.sqlite'}")
        self.centres = {"alder", "birch", "cedar"}
        self.open: dict[str, set[str]] = {}
        self.in_force = (1, digest_of(default_text()))
        self.quorum = Quorum.TWO_THIRDS

    def teardown(self) -> None:
        self.database.dispose()
        self._folder.cleanup()

    def _settle(self, texts: dict[str, str]) -> None:
        for digest, approved in self.open.items():
            if len(approved & self.centres) >= self.quorum.needed(len(self.centres)):
                self.in_force = (self.in_force[0] + 1, digest)
                self.quorum = parse_rules(texts[digest]).quorum
                self.open = {}
                return

    @property
    def _texts(self) -> dict[str, str]:
        return {digest_of(text): text for text in DOCUMENTS}

    @rule(centre=st.sampled_from(EVERYBODY))
    def join(self, centre: str) -> None:
        self.centres.add(centre)

    @precondition(lambda self: len(self.centres) > 1)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.centres.remove(data.draw(st.sampled_from(sorted(self.centres))))

    @rule()
    def restart(self) -> None:
        rules.settle(self.database, self.centres, NOW)
        self._settle(self._texts)

    @rule(data=st.data(), text=st.sampled_from(DOCUMENTS))
    def propose(self, data: st.DataObject, text: str) -> None:
        centre = data.draw(st.sampled_from(sorted(self.centres)))
        if digest_of(text) == self.in_force[1]:
            with pytest.raises(rules.VoteError):
                rules.propose(self.database, text, voice(centre), self.centres, NOW)
        else:
            rules.propose(self.database, text, voice(centre), self.centres, NOW)
            self.open.setdefault(digest_of(text), set())

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.open)))
        centre = data.draw(st.sampled_from(sorted(self.centres)))
        rules.approve(self.database, digest, voice(centre), self.centres, NOW)
        self.open[digest].add(centre)
        self._settle(self._texts)

    @invariant()
    def the_rules_in_force_are_those_that_a_quorum_approved(self) -> None:
        state = rules.current(self.database)
        assert (state.version, state.digest) == self.in_force
        assert {each.digest for each in state.proposals} == set(self.open)

    @invariant()
    def the_history_can_be_checked_by_anybody(self) -> None:
        assert replay(rules.history(self.database)).version == self.in_force[0]


Federation.TestCase.settings = settings(max_examples=10, stateful_step_count=15)
TestFederation = Federation.TestCase
