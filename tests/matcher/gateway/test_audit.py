"""The record of who got what: nothing in it is lost as it grows."""

from __future__ import annotations

import stat
from pathlib import Path

from fallow_matcher.gateway.audit import Audit, records_of


def test_a_record_that_grows_is_put_away_and_still_known(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    ours, theirs = Audit(path, rotate_bytes=500), Audit(path, rotate_bytes=500)
    for number in range(20):
        (ours if number % 2 else theirs).write("token", jti=f"jti-{number}")
    ours.close()
    theirs.close()
    files = list(tmp_path.iterdir())
    assert len(files) > 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    for number in range(20):
        assert [record["jti"] for record in records_of(path, f"jti-{number}")] == [f"jti-{number}"]


def test_there_is_nothing_of_a_token_before_the_first_record(tmp_path: Path) -> None:
    assert list(records_of(tmp_path / "audit.jsonl", "jti")) == []
