"""Text for systemd's unit files."""

from __future__ import annotations


def quoted(word: str) -> str:
    """One word of a command line in a unit, as it is: no specifier, variable or quote in it counts."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
