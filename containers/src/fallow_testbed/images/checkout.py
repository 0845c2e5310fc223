"""Where the source tree of Fallow lies: images are built from it."""

from __future__ import annotations

import os
from pathlib import Path

from fallow.errors import NotAvailableError

_SIGN = Path("containers") / "images"


def find_checkout() -> Path:
    """Find the source tree: `$FALLOW_SOURCE`, the folder this module was installed from, or the current one.

    Raises:
        NotAvailableError: None of them is in a source tree of Fallow.
    """
    named = os.environ.get("FALLOW_SOURCE")
    starts = [Path(named)] if named else [Path(__file__), Path.cwd()]
    for start in starts:
        for folder in [start, *start.parents]:
            if (folder / _SIGN).is_dir():
                return folder.resolve()
    raise NotAvailableError(
        f"No source tree of Fallow at {named or Path.cwd()}, and images are built from one.",
        remedy="Run the command inside a clone, or set FALLOW_SOURCE to it.",
    )


def sources_of(part: Path) -> list[Path]:
    """Folders and files that decide what the wheel of a part contains."""
    return [path for path in (part / "pyproject.toml", part / "README.md", part / "src") if path.exists()]
