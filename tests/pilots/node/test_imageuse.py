from __future__ import annotations

import os
from pathlib import Path

import pytest

from fallow_pilots.images.marks import TOUCH_S, Marks
from fallow_pilots.node.imageuse import IDLE_S, ImageUse
from fallow_pilots.node.layout import Layout

DIGEST = "ab" * 32


class Pilot:
    """A pilot that has checked one image, with a clock of its own."""

    def __init__(self, place: Layout, store: Path) -> None:
        store.mkdir()
        self.now, self.place, self.store = 0.0, place, store
        self.use = ImageUse(place, store, "alder-7", clock=lambda: self.now)
        Marks(store).put(DIGEST, "alder-7")
        (place.verified / DIGEST).write_text("checked\n")
        self.use.look()

    def payload(self, process: int) -> None:
        (self.place.requests / f"{DIGEST}.use.{process}").touch()

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.use.look()

    @property
    def marked(self) -> bool:
        return Marks(self.store).used([DIGEST])[DIGEST][1]

    @property
    def checked(self) -> bool:
        return (self.place.verified / DIGEST).exists()


@pytest.fixture
def pilot(place: Layout, tmp_path: Path) -> Pilot:
    return Pilot(place, tmp_path / "store")


def test_an_image_that_a_payload_runs_in_is_kept(pilot: Pilot) -> None:
    pilot.payload(os.getpid())
    pilot.after(IDLE_S + 1)
    assert pilot.checked
    assert pilot.marked


def test_an_image_of_no_payload_is_let_go_after_a_while(pilot: Pilot) -> None:
    (pilot.place.unpacked / DIGEST / "etc").mkdir(parents=True)
    pilot.payload(2**22 + 1)  # more than Linux gives a process for a number
    pilot.after(IDLE_S - 1)
    assert pilot.checked
    pilot.after(2)
    assert not pilot.checked
    assert not pilot.marked
    assert not list(pilot.place.unpacked.iterdir())
    assert not list(pilot.place.requests.iterdir())


def test_an_image_of_no_payload_is_let_go_at_once_where_room_is_needed(pilot: Pilot) -> None:
    Marks(pilot.store).press()
    pilot.after(1)
    assert not pilot.marked


def test_an_image_in_use_is_kept_also_where_room_is_needed(pilot: Pilot) -> None:
    pilot.payload(os.getpid())
    Marks(pilot.store).press()
    pilot.after(1)
    assert pilot.marked


def test_a_payload_that_comes_while_an_image_is_let_go_keeps_the_mark(
    pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        real(path, missing_ok)
        if path == pilot.place.verified / DIGEST:
            pilot.payload(os.getpid())

    monkeypatch.setattr(Path, "unlink", unlink)
    pilot.after(IDLE_S + 1)
    assert not pilot.checked
    assert pilot.marked


def test_marks_are_kept_fresh(pilot: Pilot) -> None:
    [mark] = pilot.store.glob("*.use")
    os.utime(mark, (1, 1))
    pilot.payload(os.getpid())
    pilot.after(TOUCH_S)
    assert mark.stat().st_mtime > 1


def test_a_pilot_that_ends_uses_nothing(pilot: Pilot) -> None:
    pilot.use.start()
    pilot.use.stop()
    assert not pilot.marked
