"""`fallow requests`: what an admin has asked for, and the command that confirms it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fallow.cli import fallow

ASKED = {
    "centre": "alder", "wanted": "withdraw", "why": "Maintenance.", "by": "alder.ada", "at": "2026-11-21T08:00:00Z",
}  # fmt: skip


@pytest.fixture
def hub(home: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    served = serve()
    monkeypatch.setenv("FALLOW_HUB", served.url)
    monkeypatch.setenv("FALLOW_CA_FILE", str(served.ca_file))
    monkeypatch.setenv("BEARER_TOKEN", "token")
    return served


@pytest.mark.parametrize(("done", "confirm"), [(False, "fallow pilot withdraw"), (True, "")])
def test_a_request_is_shown_with_what_confirms_it(hub: Any, done: bool, confirm: str) -> None:
    hub.says(200, {"requests": [{**ASKED, "done": done}]})
    printed = CliRunner().invoke(fallow, ["requests", "al/der", "--json"])
    assert printed.exit_code == 0, printed.output
    (row,) = json.loads(printed.output)
    assert (row["asked"], row["by"], row["why"], row["confirm"]) == (
        "withdraw",
        "alder.ada",
        "Maintenance.",
        confirm,
    )
    assert hub.asked[0].path == "/v1/requests/al%2Fder"
