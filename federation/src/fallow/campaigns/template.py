"""Text with `{column}` in it. Nothing else is evaluated: no attributes, no formats, no code."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]")


def columns(text: str) -> set[str]:
    """The columns that a template names.

    Raises:
        ValueError: A brace that is neither doubled nor around the name of a column.
    """
    found = set()
    for piece in _PIECE.finditer(text):
        if piece[0] in "{}":
            raise ValueError(
                f"{text!r} has a single {piece[0]!r}; write {{column}}, or double a brace that is meant"
            )
        if piece[1]:
            found.add(piece[1])
    return found


def fill(text: str, values: Mapping[str, str]) -> str:
    """The template with the values of a row in it.

    Raises:
        KeyError: It names a column that the row has not.
    """
    return _PIECE.sub(lambda piece: values[piece[1]] if piece[1] else piece[0][0], text)
