"""Kinds of centres by what they lack, and their declaration for a testbed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

LACKS: dict[str, dict[str, object]] = {
    "open": {},
    "no-outbound": {"nodes_reach": "login"},
    "shared-fs-only": {"nodes_reach": "nothing"},
    "ssh-only": {"nodes_reach": "login", "edge": "ssh"},
    "proxy-only": {"edge": "proxy"},
    "diskless": {"scratch_mb": 4000},
    "no-userns": {"user_namespaces": False},
    "no-fuse": {"fuse": False},
    "cvmfs": {"cvmfs": "mounted"},
    "cvmfs-hangs": {"cvmfs": "hangs"},
}
"""The testbed's words for what each kind lacks, or has. Kinds go together: `ssh-only+no-fuse`."""


def lacks(kind: str) -> dict[str, object]:
    """What a kind lacks, or several together.

    Raises:
        ValueError: There is no such kind.
    """
    unknown = [part for part in kind.split("+") if part not in LACKS]
    if unknown:
        raise ValueError(f"There is no kind {unknown[0]!r}. There are: {', '.join(LACKS)}.")
    return {name: value for part in kind.split("+") for name, value in LACKS[part].items()}


def declaration(centres: Mapping[str, Mapping[str, object]], people: Mapping[str, str]) -> str:
    """A federation.

    Args:
        centres: What is declared of each centre, by its name; a dot in a name leads into a table.
        people: The centre of each person.
    """
    return "".join(_lines(centres, people))


def _lines(centres: Mapping[str, Mapping[str, object]], people: Mapping[str, str]) -> Iterator[str]:
    for name, values in centres.items():
        yield f"[centres.{name}]\n"
        yield from (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    yield "[users]\n"
    yield from (f'{person} = {{ centre = "{name}" }}\n' for person, name in people.items())
