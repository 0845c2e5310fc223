from __future__ import annotations

from pathlib import Path

import pytest

from fallow.errors import NotAvailableError
from fallow_pilots.node.layout import Layout, create, remove


def test_the_pilots_directory_is_closed_to_others(place: Layout) -> None:
    assert {path.stat().st_mode & 0o077 for path in [place.root, *place.root.rglob("*")]} == {0}


def test_it_goes_with_all_that_payloads_left(place: Layout, tmp_path: Path) -> None:
    deep = place.execute / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    (deep / "link").symlink_to("/nowhere")
    deep.chmod(0)
    (place.execute / "a").chmod(0o500)
    remove(place)
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_points_to_stays(place: Layout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (place.execute / "link").symlink_to(outside)
    remove(place)
    assert (outside / "file").exists()


def test_a_scratch_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match=r"No directory for the pilot can be made under .*nowhere"):
        create(tmp_path / "nowhere", "alder-7")
