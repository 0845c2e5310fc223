"""`fallow rules …`: what people see, what programs get, and a hub that is not believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fallow.cli import fallow
from fallow.errors import FallowError, RefusedError, UsageError
from fallow.rules import default_text, digest_of
from fallow.rules.entry import first, seal
from fallow.rules.history import HistoryError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FASTER = default_text().replace("ageing_s = 3600", "ageing_s = 600")
FASTEST = default_text().replace("ageing_s = 3600", "ageing_s = 60")

Run = Callable[..., Result]


def report(*proposed: str, **changes: Any) -> dict[str, Any]:
    """The hub's answer with the shipped rules in force and some proposals."""
    return {
        "version": 1,
        "digest": digest_of(default_text()),
        "document": default_text(),
        "since": NOW.isoformat(),
        "centres": ["alder", "birch", "cedar"],
        "approved_by": [],
        "approvals_needed": 2,
        "proposals": [
            {
                "digest": digest_of(text),
                "document": text,
                "proposed_by": "alder",
                "at": NOW.isoformat(),
                "lapses": (NOW + timedelta(days=30)).isoformat(),
                "approved_by": ["birch"],
            }
            for text in proposed
        ],
        **changes,
    }


@pytest.fixture
def run(server: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*argv)`: `fallow rules …` against the scripted hub; raises what the command raises."""
    assert home.is_dir()
    monkeypatch.setenv("FALLOW_HUB", server.url)
    monkeypatch.setenv("FALLOW_CA_FILE", str(server.ca_file))
    monkeypatch.setenv("BEARER_TOKEN", "a.wlcg.token")

    def invoke(*argv: str) -> Result:
        done = CliRunner().invoke(fallow, ["rules", *argv])
        if isinstance(done.exception, FallowError):
            raise done.exception
        return done

    return invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(FASTER)
    return path


def test_show_tells_rules_and_proposals(run: Run, server: Any) -> None:
    server.says(200, report(FASTER))
    said = run("show").stdout
    assert f"in force  {digest_of(default_text())}" in said
    assert "work_types.urgent.weight" in said
    assert digest_of(FASTER) in said
    assert "2 of 3" in said
    assert server.asked[0].headers["authorization"] == "Bearer a.wlcg.token"


def test_show_gives_programs_all_that_the_hub_says(run: Run, server: Any) -> None:
    server.says(200, report(FASTER))
    assert json.loads(run("show", "--json").stdout)["proposals"][0]["document"] == FASTER


def test_the_document_comes_out_as_it_went_in(run: Run, server: Any) -> None:
    server.says(200, report(FASTER))
    assert run("show", "--document").stdout == default_text()
    assert run("show", digest_of(FASTER)[:12], "--document").stdout == FASTER


def test_a_strangers_document_does_not_play_tricks_on_the_terminal(run: Run, server: Any) -> None:
    tricky = "# \u202eabc\u009b31m\n" + FASTER
    server.says(200, report(tricky))
    said = run("show", digest_of(tricky), "--document").stdout
    assert "\\u202eabc\\x9b31m" in said


def test_diff_shows_what_the_only_proposal_changes(run: Run, server: Any) -> None:
    server.says(200, report(FASTER))
    assert json.loads(run("diff", "--json").stdout) == [{"setting": "ageing_s", "now": 3600, "proposed": 600}]
    assert "ageing_s" in run("diff").stdout


def test_diff_takes_a_file_as_well(run: Run, server: Any, file: Path) -> None:
    server.says(200, report())
    assert "600" in run("diff", str(file)).stdout


def test_diff_of_the_rules_in_force_is_said_to_be_none(run: Run, server: Any, file: Path) -> None:
    file.write_text("# said otherwise\n" + default_text())
    server.says(200, report())
    assert run("diff", str(file)).stdout == "Nothing changes: these are the rules in force.\n"


@pytest.mark.parametrize(
    ("proposed", "said"), [((), "No proposal is open."), ((FASTER, FASTEST), "2 open proposals")]
)
def test_diff_asks_which_when_it_is_not_clear(
    run: Run, server: Any, proposed: tuple[str, ...], said: str
) -> None:
    server.says(200, report(*proposed))
    with pytest.raises(UsageError, match=said):
        run("diff")


def test_propose_says_what_changes_and_what_is_next(run: Run, server: Any, file: Path) -> None:
    server.says(200, report(FASTER))
    said = run("propose", str(file)).stdout
    assert f"fallow rules approve {digest_of(FASTER)}" in said
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v1/rules/proposals")
    assert json.loads(asked.body) == {"document": FASTER}


def test_rules_that_do_not_hold_together_never_leave_the_machine(run: Run, server: Any, file: Path) -> None:
    file.write_text(FASTER.replace('"analysis"', '"none"'))
    with pytest.raises(
        FallowError, match=r"rules.toml: .*default_work_type \(none\) is not among work_types"
    ):
        run("propose", str(file))
    assert server.asked == []


def test_a_file_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FallowError, match=r"Cannot read .*/none.toml"):
        run("simulate", str(tmp_path / "none.toml"))


def test_approve_says_how_far_it_is(run: Run, server: Any) -> None:
    server.says(200, report(FASTER))
    assert run("approve", digest_of(FASTER)).stdout == "approved  by birch; 2 of 3 centres are needed\n"
    assert json.loads(server.asked[-1].body) == {"digest": digest_of(FASTER)}


def test_approve_says_when_the_rules_take_effect(run: Run, server: Any) -> None:
    server.says(200, report(FASTER))
    now = report(version=2, digest=digest_of(FASTER), document=FASTER, approved_by=["alder", "birch"])
    server.says(200, now)
    assert run("approve", digest_of(FASTER)).stdout == "in force  version 2, approved by alder, birch\n"


def test_only_a_whole_digest_is_approved(run: Run, server: Any) -> None:
    with pytest.raises(UsageError, match="no whole digest"):
        run("approve", digest_of(FASTER)[:20])
    assert server.asked == []


def test_a_document_that_is_not_its_digest_is_not_approved(run: Run, server: Any) -> None:
    shown = report(FASTER)
    shown["proposals"][0]["document"] = FASTEST
    server.says(200, shown)
    with pytest.raises(RefusedError, match="shows a document that is not"):
        run("approve", digest_of(FASTER))
    assert [asked.method for asked in server.asked] == ["GET"]


def test_a_refusal_is_told_with_its_reason(run: Run, server: Any) -> None:
    server.says(200, report())
    server.says(404, {"error": "not_found", "error_description": "No proposal of digest x is open."})
    with pytest.raises(RefusedError, match="No proposal of digest x is open") as refused:
        run("approve", digest_of(FASTER))
    assert refused.value.exit_code == 4


def page(*, broken: bool = False) -> dict[str, Any]:
    line = seal(first(default_text(), NOW)).model_dump()
    return {"entries": [line | {"hash": "sha256:" + "0" * 64} if broken else line], "more": False}


def test_the_history_is_shown_and_checked(run: Run, server: Any) -> None:
    server.says(200, page())
    said = run("history", "--verify").stdout
    assert "version 1 in force" in said
    assert "unbroken  1 entries, 0 of them seen before" in said
    assert "1 of them seen before" in run("history", "--verify").stdout


@pytest.mark.parametrize("argv", [["--verify"], [], ["--verify", "--json"]])
def test_a_broken_history_is_not_shown(run: Run, server: Any, argv: list[str]) -> None:
    server.says(200, page(broken=True))
    with pytest.raises(HistoryError, match="Entry 1 of the history of the rules is not what was written"):
        run("history", *argv)


def outcome(centre: str, wait_s: float, share: float | None) -> dict[str, Any]:
    figures = {"jobs": 10, "mean_wait_s": wait_s, "p95_wait_s": 2 * wait_s, "share": share, "balance": 7200.0}
    return {"centre": centre, "resource_class": "cpu", **figures}


def test_a_simulation_is_told_centre_by_centre(run: Run, server: Any, file: Path) -> None:
    answer = {
        "load": "10 jobs",
        "version": 1,
        "current": [outcome("alder", 600, 0.25), outcome("birch", 60, None)],
        "proposed": [outcome("alder", 300, 0.5), outcome("birch", 60, None)],
    }
    server.says(200, answer)
    said = run("simulate", str(file)).stdout
    for word in ("10 jobs", "10.0 min → 5.0 min", "25.0 % → 50.0 %", "- → -", "+2.0 → +2.0"):
        assert word in said
    assert json.loads(run("simulate", str(file), "--json").stdout)["current"][0]["mean_wait_s"] == 600
