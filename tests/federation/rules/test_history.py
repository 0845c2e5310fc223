"""The history of the rules: nothing in it can be changed, left out or moved without being found."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallow.rules import default_text, digest_of
from fallow.rules.entry import Entry, Event, Line, Voice, first, hash_of, seal
from fallow.rules.history import PROPOSAL_LIFE, HistoryError, State, follow, replay
from fallow.rules.seen import Memory

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CENTRES = ["alder", "birch", "cedar"]


def voice(centre: str) -> Voice:
    return Voice(centre=centre, iss="https://issuer.example.org", sub=f"admin-{centre}", jti="jti")


def document(ageing_s: int) -> str:
    return default_text().replace("ageing_s = 3600", f"ageing_s = {ageing_s}")


class Chain:
    """A history in the making."""

    def __init__(self) -> None:
        self.lines = [seal(first(default_text(), NOW))]
        self.now = NOW

    @property
    def state(self) -> State:
        return replay(self.lines)

    def add(self, event: Event, digest: str, **about: object) -> None:
        state = self.state
        raw = {"seq": state.seq + 1, "previous": state.head, "at": self.now, "event": event, "digest": digest}
        self.lines.append(seal(Entry.model_validate(raw | about)))

    def propose(self, ageing_s: int, centre: str = "alder") -> str:
        text = document(ageing_s)
        self.add(Event.PROPOSED, digest_of(text), document=text, by=voice(centre))
        return digest_of(text)

    def approve(self, digest: str, *centres: str) -> None:
        for centre in centres:
            self.add(Event.APPROVED, digest, by=voice(centre))

    def enact(self, digest: str, approved: list[str], centres: list[str] = CENTRES, version: int = 2) -> None:
        self.add(Event.IN_FORCE, digest, version=version, centres=centres, approved_by=approved)


@pytest.fixture
def chain() -> Chain:
    """Rules that were proposed, approved by two of three and took effect; another proposal after them."""
    made = Chain()
    digest = made.propose(600)
    made.approve(digest, "alder", "cedar")
    made.enact(digest, ["alder", "cedar"])
    made.propose(60)
    return made


def test_what_is_in_force_follows_from_the_entries(chain: Chain) -> None:
    state = chain.state
    assert (state.version, state.digest, state.seq) == (2, digest_of(document(600)), 6)
    assert state.rules.ageing_s == 600
    assert [proposal.digest for proposal in state.proposals] == [digest_of(document(60))]
    assert [each.centre for each in state.approvals] == ["alder", "cedar"]


def long_history() -> list[Line]:
    made = Chain()
    for round_ in range(3):
        digest = made.propose(600 + round_)
        made.approve(digest, *CENTRES)
        made.enact(digest, CENTRES, version=2 + round_)
    return made.lines


HISTORY = long_history()


@given(st.data())
def test_any_edit_of_any_entry_is_found(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(HISTORY) - 1))
    body = HISTORY[position].body
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda each: each != body[at]))
    edited = body[:at] + other + body[at + 1 :]
    hashes = [HISTORY[position].hash, hash_of(edited)]  # as it was, or made to fit
    for its_hash in hashes:
        lines = [*HISTORY]
        lines[position] = Line(body=edited, hash=its_hash)
        if position < len(HISTORY) - 1 or its_hash != hash_of(edited):
            with pytest.raises(HistoryError):
                replay(lines)


@given(st.integers(0, len(HISTORY) - 2))
def test_any_deletion_is_found(position: int) -> None:
    with pytest.raises(HistoryError, match=r"follow|bring version 1"):
        replay([*HISTORY[:position], *HISTORY[position + 1 :]])


@given(st.randoms(use_true_random=False))
def test_any_other_order_is_found(order: random.Random) -> None:
    lines = order.sample(HISTORY, len(HISTORY))
    if lines != HISTORY:
        with pytest.raises(HistoryError):
            replay(lines)


@given(st.integers(0, len(HISTORY) - 1))
def test_an_entry_told_twice_is_found(position: int) -> None:
    with pytest.raises(HistoryError):
        replay([*HISTORY[: position + 1], *HISTORY[position:]])


def test_a_chain_of_sound_hashes_still_cannot_skip_the_quorum() -> None:
    made = Chain()
    digest = made.propose(600)
    made.approve(digest, "alder")
    made.enact(digest, ["alder"])
    with pytest.raises(HistoryError, match=r"Entry 4 .*no quorum of the centres had approved"):
        replay(made.lines)


def test_approvals_of_centres_that_left_make_no_quorum() -> None:
    made = Chain()
    digest = made.propose(600)
    made.approve(digest, "alder", "birch")
    made.enact(digest, ["alder", "birch"], centres=["alder", "cedar", "doria"])
    with pytest.raises(HistoryError, match="no quorum"):
        replay(made.lines)


def test_claimed_approvals_that_nobody_gave_are_found() -> None:
    made = Chain()
    digest = made.propose(600)
    made.approve(digest, "alder")
    made.enact(digest, ["alder", "birch"])
    with pytest.raises(HistoryError, match="no quorum"):
        replay(made.lines)


def test_an_approval_of_a_digest_that_nobody_proposed_is_found() -> None:
    made = Chain()
    made.approve(digest_of(document(5)), "alder")
    with pytest.raises(HistoryError, match="open proposal of its digest"):
        replay(made.lines)


def test_an_approval_after_the_proposal_lapsed_is_found() -> None:
    made = Chain()
    digest = made.propose(600)
    made.now += PROPOSAL_LIFE
    made.approve(digest, "alder")
    with pytest.raises(HistoryError, match="open proposal"):
        replay(made.lines)


def test_rules_that_lapsed_can_be_proposed_again_without_their_approvals() -> None:
    made = Chain()
    digest = made.propose(600)
    made.approve(digest, "alder")
    made.now += PROPOSAL_LIFE
    made.propose(600, "birch")
    (proposal,) = made.state.proposals
    assert (proposal.by.centre, proposal.approvals) == ("birch", ())


def test_a_document_that_is_not_its_digest_is_found() -> None:
    made = Chain()
    made.add(Event.PROPOSED, digest_of(document(5)), document=document(6), by=voice("alder"))
    with pytest.raises(HistoryError, match="digest is not that of its document"):
        replay(made.lines)


def test_an_entry_older_than_the_one_before_is_found() -> None:
    made = Chain()
    made.now -= timedelta(seconds=1)
    made.propose(600)
    with pytest.raises(HistoryError, match="older than the one before"):
        replay(made.lines)


def test_rules_in_force_can_be_approved_later_without_effect() -> None:
    made = Chain()
    digest = made.propose(600)
    made.approve(digest, "alder", "cedar")
    made.enact(digest, ["alder", "cedar"])
    made.approve(digest, "birch")
    assert made.state.version == 2
    assert [each.centre for each in made.state.approvals] == ["alder", "cedar", "birch"]


def test_an_entry_of_a_later_release_keeps_its_hash() -> None:
    line = seal(first(default_text(), NOW))
    body = json.dumps({**json.loads(line.body), "of_a_later_release": 1})
    assert follow(None, Line(body=body, hash=hash_of(body))).version == 1


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory("https://hub.example.org", {"XDG_STATE_HOME": str(tmp_path)})


def test_what_was_seen_is_remembered(chain: Chain, memory: Memory) -> None:
    assert memory.check(chain.lines[:4]) == 0
    assert memory.check(chain.lines) == 4
    assert memory.check(chain.lines) == 6


def test_a_hub_that_takes_entries_back_is_found_out(chain: Chain, memory: Memory) -> None:
    memory.check(chain.lines)
    with pytest.raises(HistoryError, match="lacks entry 6 as you saw it before"):
        memory.check(chain.lines[:5])


def test_a_hub_that_tells_two_stories_is_found_out(chain: Chain, memory: Memory) -> None:
    memory.check(chain.lines)
    other = Chain()
    other.lines = chain.lines[:5]
    other.propose(61)
    other.propose(62)
    with pytest.raises(HistoryError, match="it took something back"):
        memory.check(other.lines)
