from __future__ import annotations

import sys

import pytest

from fallow.errors import NotAvailableError
from fallow_pilots.node import finding
from fallow_pilots.node.finding import Finding


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$CondorVersion: 25.14.1 2026-10-16 PackageID: x $", (25, 14, 1)),
        ("apptainer version 1.4.5-2.el9", (1, 4, 5)),
        ("no version", None),
    ],
)
def test_versions_are_found_in_what_programs_say(text: str, number: tuple[int, ...] | None) -> None:
    assert finding.version(text) == number


def test_only_fatal_trouble_stops_a_pilot() -> None:
    findings = [
        Finding("a", False, "bad"),
        Finding("b", True, "good", fatal=True),
        Finding("c", False, "worse", fatal=True),
    ]
    assert [finding.check for finding in finding.fatal(findings)] == ["c"]


def test_a_program_that_hangs_is_stopped() -> None:
    with pytest.raises(NotAvailableError, match="did not end within 0 s"):
        finding.run([sys.executable, "-c", "import time; time.sleep(600)"], timeout_s=0.2)


def test_a_program_of_the_node_gets_nothing_of_our_environment_but_our_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CANARY", "x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    said = finding.run(["env"]).stdout
    assert "CANARY" not in said
    assert "CUDA_VISIBLE_DEVICES=1" in said


def test_a_missing_program_is_named() -> None:
    with pytest.raises(NotAvailableError, match="has no no-such-program"):
        finding.find_program("no-such-program")
