"""What differs between two sets of rules, setting by setting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fallow.rules.document import canonical
from fallow.rules.model import Rules


@dataclass(frozen=True)
class Change:
    """One setting that differs; a side that lacks it has None."""

    setting: str
    """Its place, e.g. `work_types.urgent.weight`."""
    now: Any
    proposed: Any


def settings_of(rules: Rules) -> dict[str, Any]:
    """Every setting by its place, in a fixed order."""
    return dict(_leaves("", json.loads(canonical(rules))))


def changes(now: Rules, proposed: Rules) -> list[Change]:
    """What `proposed` would change."""
    before, after = settings_of(now), settings_of(proposed)
    places = list(dict.fromkeys([*before, *after]))
    return [
        Change(place, before.get(place), after.get(place))
        for place in places
        if before.get(place) != after.get(place)
    ]


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield place, value
        return
    for name, each in value.items():
        yield from _leaves(f"{place}.{name}".lstrip("."), each)
