"""Proposing and approving rules. Whose voice it is has been decided before; here it is decided whether it counts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Engine

from fallow.errors import RefusedError
from fallow.rules import digest_of, parse_rules
from fallow.rules.entry import Entry, Event, Voice
from fallow.rules.history import State, centres_of
from fallow_matcher.database import writing
from fallow_matcher.rules import store
from fallow_matcher.rules.force import current

OPEN_PER_CENTRE = 5
"""Open proposals that one centre may have."""


class VoteError(RefusedError):
    """A proposal or an approval does not count.

    Args:
        code: The gateway's error code for it.
    """

    def __init__(self, code: str, what: str, *, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.code = code


def propose(engine: Engine, document: str, by: Voice, centres: Collection[str], now: datetime) -> State:
    """Record a proposal; the same rules proposed again are the proposal that is there.

    Args:
        engine: The hub's database.
        document: The proposed rules.
        by: Who proposes, for which centre.
        centres: The current centres.
        now: The current time, UTC.

    Raises:
        SettingsError: The document is no valid rules.
        VoteError: It names a centre that is none, is in force already, or the centre has too many open proposals.
    """
    rules = parse_rules(document, source="the proposal")
    if strangers := sorted(set(rules.benchmark) - set(centres)):
        raise VoteError(
            "invalid_request", f"benchmark: {', '.join(strangers)} is no centre of this federation."
        )
    digest = digest_of(document)
    current(engine)
    with writing(engine) as connection:
        state, now = _locked(connection, now)
        if digest == state.digest:
            raise VoteError("in_force", f"These rules are in force already, as version {state.version}.")
        if state.proposal(digest, now):
            return state
        if sum(other.by.centre == by.centre for other in state.open_at(now)) >= OPEN_PER_CENTRE:
            raise VoteError(
                "too_many_proposals",
                f"{by.centre} has {OPEN_PER_CENTRE} open proposals; one lapses when other rules take effect or after "
                "30 days.",
            )
        return _append(connection, state, now, event=Event.PROPOSED, digest=digest, document=document, by=by)


def approve(engine: Engine, digest: str, by: Voice, centres: Collection[str], now: datetime) -> State:
    """Record a centre's approval and, if it makes the quorum, that the rules take effect. Twice is once.

    Args:
        engine: The hub's database.
        digest: The exact rules that are approved.
        by: Who approves, for which centre.
        centres: The current centres.
        now: The current time, UTC.

    Raises:
        VoteError: The centre is none, or there is no open proposal of that digest; the message says what there is.
    """
    if by.centre not in centres:
        raise VoteError("forbidden", f"{by.centre} is no centre of this federation.")
    current(engine)
    with writing(engine) as connection:
        state, now = _locked(connection, now)
        proposal = state.proposal(digest, now)
        if proposal is None and digest != state.digest:
            known = ", ".join(other.digest for other in state.open_at(now)) or "none"
            raise VoteError(
                "not_found",
                f"No proposal of digest {digest} is open. Open: {known}; in force: {state.digest}.",
            )
        # Rules in force can still be approved: it changes nothing but what the history says.
        if by.centre not in centres_of(proposal.approvals if proposal else state.approvals):
            state = _append(connection, state, now, event=Event.APPROVED, digest=digest, by=by)
        return _settle(connection, state, centres, now)


def settle(engine: Engine, centres: Collection[str], now: datetime) -> State:
    """Let rules take effect that a quorum of the current centres has approved, for centres may have left since.

    Args:
        engine: The hub's database.
        centres: The current centres.
        now: The current time, UTC.
    """
    current(engine)
    with writing(engine) as connection:
        state, now = _locked(connection, now)
        return _settle(connection, state, centres, now)


def _settle(connection: Connection, state: State, centres: Collection[str], now: datetime) -> State:
    needed = state.rules.quorum.needed(len(centres))
    for proposal in state.open_at(now):
        approved = proposal.approved_by(centres)
        if len(approved) >= needed:
            return _append(
                connection,
                state,
                now,
                event=Event.IN_FORCE,
                digest=proposal.digest,
                version=state.version + 1,
                centres=sorted(centres),
                approved_by=approved,
            )
    return state


def _locked(connection: Connection, now: datetime) -> tuple[State, datetime]:
    """The state, other writers kept out, and a time that is not before its last entry: clocks may be set back."""
    state = store.state(connection, lock=True)
    if state is None:
        raise RuntimeError("the history of the rules has just been begun, and is gone")
    return state, max(now, state.at)


def _append(connection: Connection, state: State, now: datetime, **about: object) -> State:
    raw = {"seq": state.seq + 1, "previous": state.head, "at": now, **about}
    return store.append(connection, state, Entry.model_validate(raw))
