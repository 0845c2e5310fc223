"""Values in ads of jobs and slots, which anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAR = 1e15
"""Beyond this nothing is a moment, a size or a count."""


def number_of(ad: Mapping[str, Any], name: str) -> float | None:
    """A number in an ad; None where there is none, or none that can be meant."""
    value: Any = ad.get(name)
    # The bindings' `Value.Undefined` is an int as well, and so is a bool.
    return float(value) if type(value) in (int, float) and abs(value) < FAR else None
