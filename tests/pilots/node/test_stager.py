"""The process that moves payloads' files: what launchers ask, what payloads may have made of it, what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fallow.hub import HubRefusedError, HubUnavailableError
from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import TICKET_FILE, StagingRequest
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.stager import answer, asked, read_ticket, serve


class Stager:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Path]] = []

    def stage_in(self, folder: Path) -> None:
        self.asked.append(("in", folder))

    def stage_out(self, folder: Path) -> None:
        self.asked.append(("out", folder))
        raise StagingError(Trouble.FULL, "The store has no space\nfor it.")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.make()
    return made


def request(layout: Layout, what: str, place: str) -> Path:
    """What a launcher leaves."""
    path = layout.staging / f"{what}.wanted"
    path.write_text(f"{place}\n")
    return path


def said(layout: Layout, what: str) -> str:
    """What it is told."""
    return (layout.staging / f"{what}.said").read_text()


def test_a_launcher_is_told_when_its_files_are_there_or_why_not(layout: Layout) -> None:
    stager: Any = Stager()
    requests = [request(layout, "in.7", "dir_7/scratch"), request(layout, "out.8", "dir_8")]
    serve(stager, layout, idle_s=0.3)
    assert not any(path.exists() for path in requests)
    assert sorted(stager.asked) == [
        ("in", layout.execute / "own-7" / "dir_7" / "scratch"),
        ("out", layout.execute / "own-8" / "dir_8"),
    ]
    assert said(layout, "in.7") == "ok\n"
    assert said(layout, "out.8") == "full: The store has no space for it.\n"


@pytest.mark.parametrize("place", ["../../tokens", "dir_7/../..", "/etc", "", "dir_7/scratch/deeper"])
def test_a_request_leads_nowhere_else(layout: Layout, place: str) -> None:
    stager: Any = Stager()
    request(layout, "in.7", place)
    serve(stager, layout, idle_s=0.2)
    assert stager.asked == []
    assert said(layout, "in.7").startswith("denied: ")


def test_what_is_no_request_is_removed(layout: Layout) -> None:
    stager: Any = Stager()
    odd = request(layout, "both.x", "dir_7")
    serve(stager, layout, idle_s=0.2)
    assert not odd.exists()


def test_a_ticket_names_plain_files_only(tmp_path: Path) -> None:
    ticket = tmp_path / TICKET_FILE
    ticket.write_text("abc\nin\nout hits\nout log.txt\n")
    assert read_ticket(tmp_path) == ("abc", ["hits", "log.txt"])
    for text in ("abc\nout ../token\n", "abc\nout /etc/passwd\n", "", "\xff"):
        ticket.write_text(text, encoding="latin-1")
        with pytest.raises(StagingError) as refused:
            read_ticket(tmp_path)
        assert refused.value.trouble is Trouble.DENIED


def test_a_ticket_is_no_link_to_a_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("token\n")
    (tmp_path / TICKET_FILE).symlink_to(tmp_path / "secret")
    with pytest.raises(StagingError, match="cannot be read"):
        read_ticket(tmp_path)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (HubRefusedError("The hub refused: no input.", status=404, code="missing"), Trouble.MISSING),
        (HubRefusedError("The hub refused: too large.", status=413, code="large"), Trouble.LARGE),
        (HubRefusedError("The hub refused: expired.", status=401, code="token_expired"), Trouble.DENIED),
        (HubUnavailableError("The hub does not answer."), Trouble.AWAY),
    ],
)
def test_the_hubs_refusals_keep_their_class(error: Exception, trouble: Trouble) -> None:
    class Hub:
        def ask(self, *_: object) -> None:
            raise error

    hub: Any = Hub()
    with pytest.raises(StagingError) as refused:
        asked(hub, StagingRequest(ticket="t"))
    assert refused.value.trouble is trouble


def test_a_mistake_of_ours_is_no_fault_of_the_job(tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise ValueError("a bug")

    assert answer(broken, tmp_path) == "away: The pilot failed; its log has the details."
