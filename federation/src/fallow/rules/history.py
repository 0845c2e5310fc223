"""The history of the rules: a chain of entries, each with the hash of the one before it, that anybody can check.

The chain is replayed, never believed: what is in force, what is proposed and who approved follow from the entries alone.
Hub and client use the same code, so a centre need not take the hub's word for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from fallow.errors import FallowError
from fallow.rules.document import digest_of, parse_rules
from fallow.rules.entry import START, Entry, Event, Line, Voice, hash_of
from fallow.rules.model import Rules

PROPOSAL_LIFE = timedelta(days=30)
"""A proposal that no quorum approved in this time lapses."""


class HistoryError(FallowError):
    """The history of the rules was changed after it was written, or breaks its own rules."""


@dataclass(frozen=True)
class Proposal:
    """Rules that wait for approval."""

    digest: str
    document: str
    by: Voice
    at: datetime
    approvals: tuple[Voice, ...] = ()

    @property
    def lapses(self) -> datetime:
        """When it lapses unless it takes effect before."""
        return self.at + PROPOSAL_LIFE

    def approved_by(self, centres: Iterable[str]) -> list[str]:
        """Those of `centres` that have approved it, sorted."""
        return sorted(centres_of(self.approvals) & set(centres))


def centres_of(voices: Iterable[Voice]) -> set[str]:
    """For which centres these spoke."""
    return {voice.centre for voice in voices}


@dataclass(frozen=True)
class State:
    """What follows from a history."""

    version: int
    digest: str
    document: str
    since: datetime
    """When the rules in force took effect."""
    approvals: tuple[Voice, ...]
    """Who approved them: what made the quorum, and whoever joined in later."""
    seq: int
    head: str
    """Hash of the last entry."""
    at: datetime
    """Moment of the last entry."""
    proposals: tuple[Proposal, ...] = field(default=())
    """Proposals made since then, oldest first; some may have lapsed."""

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return parse_rules(self.document, source="the rules in force")

    def open_at(self, now: datetime) -> list[Proposal]:
        """The proposals that can still be approved."""
        return [proposal for proposal in self.proposals if now < proposal.lapses]

    def proposal(self, digest: str, now: datetime) -> Proposal | None:
        """The open proposal of that digest."""
        return next((found for found in self.open_at(now) if found.digest == digest), None)


def replay(lines: Iterable[Line]) -> State:
    """Check a whole history and say what follows from it.

    Raises:
        HistoryError: There is none, or an entry was edited, removed, put elsewhere, or could never have been made.
    """
    state = None
    for line in lines:
        state = follow(state, line)
    if state is None:
        raise HistoryError("The history of the rules is empty.")
    return state


def follow(state: State | None, line: Line) -> State:
    """What follows from a state and the next entry; None is the state before the first.

    Raises:
        HistoryError: As `replay`.
    """
    seq = state.seq + 1 if state else 1
    entry = opened(seq, line)
    expected = state.head if state else START
    if entry.seq != seq or entry.previous != expected:
        raise _broken(seq, "it does not follow the one before it; one was removed, added or moved")
    if state is None:
        return _begin(entry, line)
    if entry.at < state.at:
        raise _broken(seq, "it is older than the one before it")
    changed = _STEPS[entry.event](state, entry)
    return replace(changed, seq=seq, head=line.hash, at=entry.at)


def opened(seq: int, line: Line) -> Entry:
    """The entry in a line, whose text is what was hashed.

    Raises:
        HistoryError: It is not; `seq` says in the message which line that is.
    """
    if hash_of(line.body) != line.hash:
        raise _broken(seq, "its hash does not match its text")
    try:
        return Entry.model_validate_json(line.body)
    except ValidationError as error:
        raise _broken(seq, "its text is no entry") from error


def _broken(seq: int, what: str) -> HistoryError:
    return HistoryError(
        f"Entry {seq} of the history of the rules is not what was written: {what}.",
        remedy="Compare the hub's database with a copy that a centre saved by `fallow rules history --json`.",
    )


def _begin(entry: Entry, line: Line) -> State:
    if entry.event is not Event.IN_FORCE or entry.version != 1 or entry.document is None:
        raise _broken(1, "it does not bring version 1 into force")
    _require_digest(entry)
    return State(1, entry.digest, entry.document, entry.at, (), 1, line.hash, entry.at)


def _require_digest(entry: Entry) -> None:
    try:
        found = digest_of(entry.document or "")
    except FallowError as error:
        raise _broken(entry.seq, f"its document cannot be read: {error.what}") from error
    if found != entry.digest:
        raise _broken(entry.seq, "its digest is not that of its document")


def _proposed(state: State, entry: Entry) -> State:
    if entry.by is None or entry.document is None:
        raise _broken(entry.seq, "a proposal has a document and somebody who made it")
    _require_digest(entry)
    if entry.digest == state.digest or state.proposal(entry.digest, entry.at):
        raise _broken(entry.seq, "these rules were in force or proposed already")
    # One that lapsed makes room for the same rules, proposed again.
    others = tuple(other for other in state.proposals if other.digest != entry.digest)
    made = Proposal(entry.digest, entry.document, entry.by, entry.at)
    return replace(state, proposals=(*others, made))


def _approved(state: State, entry: Entry) -> State:
    proposal = state.proposal(entry.digest, entry.at)
    given = proposal.approvals if proposal else state.approvals
    if entry.by is None or (proposal is None and entry.digest != state.digest):
        raise _broken(entry.seq, "an approval has somebody who gave it and an open proposal of its digest")
    if entry.by.centre in centres_of(given):
        raise _broken(entry.seq, f"{entry.by.centre} had approved already")
    if proposal is None:
        return replace(state, approvals=(*given, entry.by))
    approved = replace(proposal, approvals=(*given, entry.by))
    return replace(state, proposals=tuple(approved if each is proposal else each for each in state.proposals))


def _in_force(state: State, entry: Entry) -> State:
    proposal = state.proposal(entry.digest, entry.at)
    if proposal is None or entry.version != state.version + 1:
        raise _broken(entry.seq, "rules take effect one version after the other, from an open proposal")
    approved = proposal.approved_by(entry.centres)
    if entry.approved_by != approved or len(approved) < state.rules.quorum.needed(len(entry.centres)):
        raise _broken(entry.seq, "no quorum of the centres had approved these rules")
    # What was proposed beside these rules was meant to replace others: it lapses.
    return replace(
        state,
        version=entry.version,
        digest=proposal.digest,
        document=proposal.document,
        since=entry.at,
        approvals=proposal.approvals,
        proposals=(),
    )


_STEPS = {Event.PROPOSED: _proposed, Event.APPROVED: _approved, Event.IN_FORCE: _in_force}
