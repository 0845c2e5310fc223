"""The matcher's last decision as a document: who ranks where and why; `fallow explain` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from fallow.errors import NotAvailableError
from fallow.files import private_directory, write_private
from fallow_matcher.matching import policy
from fallow_matcher.matching.policy import Ranked, Standings
from fallow_matcher.rules import InForce


@dataclass(frozen=True)
class Place:
    """A waiting group in the order of its resource class."""

    centre: str
    work_type: str
    resource_class: str
    wait_s: float
    jobs: int
    place: int
    total: float
    urgency: float
    weight: float
    balance_factor: float
    balance: float
    credit_line: float


@dataclass(frozen=True)
class Decision:
    """One decision of the matcher."""

    at: float
    """When it was made, unix time."""
    version: int
    """The version of the rules that it follows."""
    digest: str
    """The digest of these rules."""
    places: tuple[Place, ...]
    """Every waiting group, by resource class and place."""
    giving: dict[str, dict[str, int]]
    """Resource class → centre → its place among those that could take a foreign job, 1 gives next."""
    changed_at: float = 0.0
    """When the order last became another one, unix time."""
    change: str = ""
    """How it did, in one sentence."""


_DOCUMENT = TypeAdapter(Decision)


def decide(
    groups: Sequence[policy.Group],
    providers: Mapping[str, set[str]],
    standings: Standings,
    rules: InForce,
    now: float,
) -> Decision:
    """The decision that follows from what waits, what is offered, what the ledger knows and what was agreed; pure."""
    places = []
    for resource_class in sorted({group.resource_class for group in groups}):
        alike = [group for group in groups if group.resource_class == resource_class]
        places += [_place(ranked, standings) for ranked in policy.order(alike, standings, rules.rules)]
    giving = {
        resource_class: policy.giving_order(sorted(centres), resource_class, standings)
        for resource_class, centres in sorted(providers.items())
    }
    return Decision(now, rules.version, rules.digest, tuple(places), giving)


def _place(ranked: Ranked, standings: Standings) -> Place:
    group, score = ranked.group, ranked.score
    standing = standings.get((group.centre, group.resource_class))
    return Place(
        centre=group.centre,
        work_type=group.work_type,
        resource_class=group.resource_class,
        wait_s=group.wait_s,
        jobs=group.jobs,
        place=ranked.place,
        total=score.total,
        urgency=score.urgency,
        weight=score.weight,
        balance_factor=score.balance,
        balance=standing.balance if standing else 0.0,
        credit_line=standing.credit_line if standing else 0.0,
    )


def following(before: Decision | None, after: Decision) -> Decision:
    """`after` with what changed since `before`; pure."""
    if before is None:
        return replace(after, changed_at=after.at, change="The matcher made its first decision.")
    if said := _difference(before, after):
        return replace(after, changed_at=after.at, change=said)
    return replace(after, changed_at=before.changed_at, change=before.change)


def _difference(before: Decision, after: Decision) -> str:
    if before.digest != after.digest:
        return f"Version {after.version} of the rules took effect."
    old, new = ({_name(place): place.place for place in each.places} for each in (before, after))
    moved = [
        f"{name} from place {old[name]} to {place}"
        for name, place in new.items()
        if old.get(name, place) != place
    ]
    came = [f"{name} at place {place}" for name, place in new.items() if name not in old]
    gone = [name for name in old if name not in new]
    parts = [
        f"{words} {', '.join(found)}"
        for words, found in (("now waits:", came), ("waits no more:", gone), ("moved:", moved))
        if found
    ]
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if text else ""


def _name(place: Place) -> str:
    return f"{place.centre} {place.work_type} ({place.resource_class})"


def file_of(state_dir: Path) -> Path:
    """Where the last decision is kept."""
    return state_dir / "matching" / "decision.json"


def store(state_dir: Path, decision: Decision) -> None:
    """Replace the last decision, whole or not at all.

    Raises:
        NotAvailableError: It cannot be written.
    """
    try:
        path = file_of(state_dir)
        private_directory(path.parent)
        write_private(path, _DOCUMENT.dump_json(decision).decode())
    except OSError as error:
        raise NotAvailableError(
            f"Cannot write the decision: {error.strerror}.",
            remedy="Make room in the hub's state_dir.",
            retryable=True,
        ) from error


def last(state_dir: Path) -> Decision | None:
    """The last decision; None before the first, and for one that another version of Fallow wrote."""
    try:
        return _DOCUMENT.validate_json(file_of(state_dir).read_bytes())
    except (OSError, ValueError):
        return None
