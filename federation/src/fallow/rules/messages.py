"""What the hub says about the rules, and what it is asked."""

from __future__ import annotations

from typing import Optional

from pydantic import Field

from fallow.messages import Digest
from fallow.offers import CentreName, Message, UtcMoment
from fallow.rules.entry import Line
from fallow.rules.history import Proposal, State, centres_of


class OpenProposal(Message):
    """Proposed rules that centres can approve."""

    digest: Digest
    document: str
    proposed_by: CentreName
    at: UtcMoment
    lapses: UtcMoment
    """When it is forgotten unless a quorum has approved it."""
    approved_by: list[CentreName]
    """The current centres that have approved it."""


class RulesReport(Message):
    """Body of `GET /v1/rules`: the rules in force and what may replace them."""

    version: int = Field(ge=1)
    digest: Digest
    document: str
    since: UtcMoment
    centres: list[CentreName]
    """The current centres."""
    approved_by: list[CentreName]
    """Those of them that have approved the rules in force."""
    approvals_needed: int
    """How many of them must approve rules that replace these."""
    proposals: list[OpenProposal]


class DocumentBody(Message):
    """Body of `POST /v1/rules/proposals` and `POST /v1/rules/simulation`."""

    document: str = Field(min_length=1, max_length=64 * 1024)


class ApprovalBody(Message):
    """Body of `POST /v1/rules/approvals`."""

    digest: Digest


class HistoryPage(Message):
    """Body of `GET /v1/rules/history`: entries in order, without those before the one asked for."""

    entries: list[Line]
    more: bool
    """Whether there are further entries."""


class Outcome(Message):
    """What becomes of one centre's jobs of one resource class under given rules."""

    centre: CentreName
    resource_class: str
    jobs: int
    """Jobs that ran."""
    mean_wait_s: float
    p95_wait_s: float
    """The wait that 95 of 100 jobs stay below."""
    share: Optional[float] = None  # noqa: UP045 - read at run time, on Python 3.9 too
    """Of the core-seconds (gpu-seconds) given out while anything waited, the part that its jobs got; None if nothing did."""
    balance: float
    """What it gave to others minus what it used of them at the end, decayed, in core-seconds (gpu-seconds)."""


class Simulation(Message):
    """Body of the answer to `POST /v1/rules/simulation`: the same recorded work under two sets of rules."""

    load: str
    """In words: what was simulated."""
    version: int
    """Of the rules in force, with which the proposal is compared."""
    current: list[Outcome]
    proposed: list[Outcome]
    """The same centres and classes in the same order."""


def report(state: State, centres: list[str], now: UtcMoment) -> RulesReport:
    """What is to be said about a state of the rules."""
    return RulesReport(
        version=state.version,
        digest=state.digest,
        document=state.document,
        since=state.since,
        centres=centres,
        approved_by=sorted(centres_of(state.approvals) & set(centres)),
        approvals_needed=state.rules.quorum.needed(len(centres)),
        proposals=[_about(proposal, centres) for proposal in state.open_at(now)],
    )


def _about(proposal: Proposal, centres: list[str]) -> OpenProposal:
    return OpenProposal(
        digest=proposal.digest,
        document=proposal.document,
        proposed_by=proposal.by.centre,
        at=proposal.at,
        lapses=proposal.lapses,
        approved_by=proposal.approved_by(centres),
    )
