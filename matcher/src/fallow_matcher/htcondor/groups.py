"""The file that the matcher writes for the negotiator: the groups, and which centre gives next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fallow_matcher.settings import HubSettings

WITHOUT_LIMIT = 1_000_000_000
"""A quota that no group reaches; groups are there for the order only."""


def file_of(settings: HubSettings) -> Path:
    """The file, read by HTCondor."""
    return settings.state_dir / "matching.config"


def render(centres: Iterable[str], giving: Mapping[str, int], *, home_first: bool) -> str:
    """The file's text.

    Args:
        centres: All centres of the federation.
        giving: The place of each centre that offers slots among those that could take a foreign job, 1 gives next.
        home_first: Whether a centre's own work takes its slots first. It does where the centre is a group.
    """
    names = sorted(centres)
    lines = ["# Written by `fallow hub matcher`; read by HTCondor."]
    lines.append(f"GROUP_NAMES = {', '.join(names) if home_first else ''}")
    lines += [f"GROUP_QUOTA_{name} = {WITHOUT_LIMIT}" for name in names if home_first]
    order = "0"
    for centre, place in sorted(giving.items(), reverse=True):
        order = f'ifThenElse(FallowCentre =?= "{centre}", {-place}, {order})'
    # A job prefers its own centre, so that it leaves others' slots to others.
    lines.append(
        f"FALLOW_GIVES_NEXT = ({order} + {len(names) + 1} * (FallowCentre =?= TARGET.FallowUserCentre))"
    )
    return "\n".join(lines) + "\n"
