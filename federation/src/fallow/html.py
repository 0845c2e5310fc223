"""Reports as one HTML file that needs nothing else and runs nothing; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:60em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}svg{background:#fafafa}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security policy: style within the page, and nothing else."""


def whole(title: str, parts: Iterable[str]) -> str:
    """A page of parts that are HTML."""
    return (
        '<!doctype html><html lang="en"><meta charset=utf-8>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table, with the names of the first one's fields as its head."""
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
