"""The document that a pilot leaves about its node."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fallow.offers import Shape
from fallow_pilots.nodefindings import (
    NodeCheck,
    NodeFinding,
    common_words,
    node_file,
    read_node_check,
    write_node_check,
)


def check(fit: bool = True, **attributes: bool | str) -> NodeCheck:
    return NodeCheck(
        pilot="alder-7",
        node="wn1",
        checked=datetime(2026, 1, 1, tzinfo=UTC),
        fit=fit,
        findings=(NodeFinding(check="disk", good=True, fatal=False, words="Enough."),),
        attributes=dict(attributes),
    )


RICH = check(FallowHasFuse=True, FallowProcessor="x86-64-v3", FallowCvmfs="atlas.example.org,cms.example.org")


def test_the_document_lies_beside_the_outcome_and_survives(tmp_path: Path) -> None:
    file = node_file(tmp_path / "outcome.json")
    write_node_check(file, RICH)
    assert (file, read_node_check(file)) == (tmp_path / "node.json", RICH)


def test_a_document_that_makes_no_sense_counts_as_none(tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    assert read_node_check(file) is None
    file.write_text("{}")
    file.chmod(0o600)
    assert read_node_check(file) is None


def test_capabilities_become_words_of_an_offer() -> None:
    words = ["cvmfs-atlas.example.org", "cvmfs-cms.example.org", "fuse", "x86-64-v3"]
    assert RICH.words == words
    assert Shape(cores=1, memory_mb=1, disk_mb=1, count=1, capabilities=words).capabilities == words


def test_an_offer_promises_only_what_every_fit_node_has() -> None:
    poor = check(FallowHasFuse=True)
    assert common_words([RICH, poor]) == ["fuse"]
    assert common_words([RICH, check(fit=False)]) == RICH.words
    assert common_words([]) == []


def test_what_is_no_word_of_an_offer_is_left_out_and_so_is_what_is_too_much() -> None:
    assert check(FallowHasFuse=True, FallowProcessor="A B", FallowCvmfs="a b,cms.example.org").words == [
        "cvmfs-cms.example.org",
        "fuse",
    ]
    words = common_words([check(FallowCvmfs=",".join(f"r{n}.example.org" for n in range(300)))])
    assert Shape(cores=1, memory_mb=1, disk_mb=1, count=1, capabilities=words).capabilities == words
