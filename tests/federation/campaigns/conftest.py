"""A campaign document beside its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

IMAGE = "sha256:" + 64 * "a"

DOCUMENT = """
name = "mc"
image = "{image}"
[table]
file = "rows.csv"
[job]
command = ["echo", "{{id}}", "{{energy}}"]
{more}
"""


@pytest.fixture
def document(tmp_path: Path) -> Callable[..., Path]:
    """`document(rows, more="")`: the path of a document that runs `echo` on the rows of a CSV text."""

    def write(rows: str | bytes = "id,energy\na,10\nb,20\n", more: str = "") -> Path:
        table = tmp_path / "rows.csv"
        table.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        path = tmp_path / "campaign.toml"
        path.write_text(DOCUMENT.format(image=IMAGE, more=more))
        return path

    return write
