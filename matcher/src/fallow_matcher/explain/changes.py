"""What changed last: the decision, the rules, an offer, the job's own slot; pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fallow.explanations import Event, EventKind
from fallow.web import for_people
from fallow_matcher.classads import number_of
from fallow_matcher.explain.situation import Situation


def changes(situation: Situation) -> list[Event]:
    """The last change of each kind, the latest first."""
    rules = situation.rules
    found = [
        Event(
            kind=EventKind.RULES, at=rules.since, words=f"Version {rules.version} of the rules took effect."
        )
    ]
    if situation.decision is not None and situation.decision.change:
        found.append(_event(EventKind.DECISION, situation.decision.changed_at, situation.decision.change))
    found += [
        Event(kind=EventKind.OFFER, at=change.at, words=change.words) for change in situation.changes[:1]
    ]
    found += eviction(situation.job)
    return sorted(found, key=lambda event: event.at, reverse=True)


def eviction(job: Any) -> list[Event]:
    """The last time that the job lost its slot before its end, if ever."""
    at, reason = number_of(job, "LastVacateTime"), job.get("VacateReason")
    if not at or not number_of(job, "NumVacates"):
        return []
    where = str(job.get("LastRemoteHost") or "its slot").partition("@")[2].partition("@")[0] or "its slot"
    said = for_people(str(reason)) if isinstance(reason, str) else "the queue does not say why"
    return [
        _event(EventKind.EVICTION, at, f"It lost its place at {for_people(where, 80)}: {said.rstrip('.')}.")
    ]


def _event(kind: EventKind, at: float, words: str) -> Event:
    return Event(kind=kind, at=datetime.fromtimestamp(at, UTC), words=words)
