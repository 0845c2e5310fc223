"""ClassAd expressions taken apart into the clauses that must all be true, and evaluated one by one; pure."""

from __future__ import annotations

from typing import Any

from fallow.queue.session import bindings

_OPEN = {"(": ")", "[": "]", "{": "}"}


def clauses(text: str) -> list[str]:
    """The expressions whose conjunction `text` is, in order; `text` itself where it is no conjunction.

    Args:
        text: An expression as the ClassAd library prints it.
    """
    text = _without_parentheses(text.strip())
    parts = _split(text)
    if len(parts) == 1:
        return [text]
    return [clause for part in parts for clause in clauses(part)]


def outcome(clause: str, my: Any, target: Any) -> bool | None:
    """What a clause of `my` says of `target`: True, False, or None where that is not known.

    Args:
        clause: A ClassAd expression.
        my: The ad that asks.
        target: The ad that is asked.
    """
    bindings()  # some functions are known to ClassAds only with HTCondor's own library
    import classad2

    try:
        value = classad2.ExprTree(clause).eval(my, target)
    except classad2.ClassAdException:  # it took too many steps, or went too deep
        return None
    if isinstance(value, classad2.Value):
        return None
    return bool(value) if isinstance(value, (bool, int, float)) else None


def _split(text: str) -> list[str]:
    """`text` at its outermost `&&`; in one piece where an operator that binds less stands beside them."""
    parts, start, position, closing = [], 0, 0, []
    while position < len(text):
        letter = text[position]
        if letter in "\"'":
            position = _end_of_quote(text, position)
        elif letter in _OPEN:
            closing.append(_OPEN[letter])
        elif closing and letter == closing[-1]:
            closing.pop()
        elif not closing:
            pair = text[position : position + 2]
            if pair == "&&":
                parts.append(text[start:position])
                start = position + 2
                position += 1
            elif text[position : position + 3] == "=?=":
                position += 2
            elif pair == "||" or letter == "?":
                return [text]
        position += 1
    return [*parts, text[start:]]


def _without_parentheses(text: str) -> str:
    """`text` without the parentheses around all of it."""
    while text.startswith("("):
        depth, position = 0, 0
        while position < len(text):
            if text[position] in "\"'":
                position = _end_of_quote(text, position)
            depth += {"(": 1, ")": -1}.get(text[position], 0)
            if depth == 0:
                break
            position += 1
        if position != len(text) - 1:
            return text
        text = text[1:-1].strip()
    return text


def _end_of_quote(text: str, start: int) -> int:
    """Where the quoted text that begins at `start` ends."""
    position = start + 1
    while position < len(text) and text[position] != text[start]:
        position += 2 if text[position] == "\\" else 1
    return min(position, len(text) - 1)
