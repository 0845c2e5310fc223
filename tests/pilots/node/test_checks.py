from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fallow.errors import NotAvailableError
from fallow_pilots.node import checks
from fallow_pilots.node.checks import Finding
from fallow_pilots.spec import PilotSpec

Make = Callable[..., PilotSpec]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$CondorVersion: 25.14.1 2026-10-16 PackageID: x $", (25, 14, 1)),
        ("apptainer version 1.4.5-2.el9", (1, 4, 5)),
        ("no version", None),
    ],
)
def test_versions_are_found_in_what_programs_say(text: str, number: tuple[int, ...] | None) -> None:
    assert checks.version(text) == number


def test_too_little_memory_is_fatal_and_says_both_numbers(make_spec: Make) -> None:
    finding = checks.check_memory(make_spec(memory_mb=4000), "MemTotal:  1024000 kB\n")
    assert finding.fatal
    assert "has 1000 MB of memory, the pilot was given 4000" in finding.words


def test_less_disk_than_promised_is_no_reason_to_stop(make_spec: Make, tmp_path: Path) -> None:
    finding = checks.check_disk(make_spec(disk_mb=1 << 40), tmp_path)
    assert (finding.good, finding.fatal) == (False, False)


def test_the_slot_offers_no_more_disk_than_there_is(make_spec: Make, tmp_path: Path) -> None:
    free_kb = shutil.disk_usage(tmp_path).free >> 10
    assert checks.disk_kb(make_spec(disk_mb=1), tmp_path) == 1024
    assert checks.disk_kb(make_spec(disk_mb=1 << 40), tmp_path) <= free_kb * 1.1


def test_a_hub_that_does_not_answer_is_advertised_not_fatal(make_spec: Make) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        finding = checks.check_hub(make_spec(hub=f"https://127.0.0.1:{port}"))
    assert (finding.good, finding.fatal) == (False, False)
    assert finding.capabilities == {"FallowHubReachable": False}


def test_a_collector_that_cannot_be_reached_is_named(make_spec: Make) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        finding = checks.check_collector(make_spec(collector=address))
    assert not finding.good
    assert address in finding.words


def test_a_missing_repository_is_advertised_as_missing() -> None:
    finding = checks.check_cvmfs("no.such.example.org")
    assert finding.capabilities == {"FallowCvmfs_no_such_example_org": False}


def test_gpus_that_nobody_asked_for_are_not_looked_for(make_spec: Make) -> None:
    assert checks.check_gpus(make_spec(gpus=0), Path("/nowhere")).good


def test_gpus_that_are_not_found_are_not_offered(make_spec: Make) -> None:
    finding = checks.check_gpus(make_spec(gpus=1), Path("/nowhere"))
    assert (finding.good, finding.capabilities) == (False, {})


def test_only_fatal_trouble_stops_a_pilot() -> None:
    findings = [
        Finding("a", False, "bad"),
        Finding("b", True, "good", fatal=True),
        Finding("c", False, "worse", fatal=True),
    ]
    assert [finding.check for finding in checks.fatal(findings)] == ["c"]


def test_a_program_that_hangs_is_stopped() -> None:
    with pytest.raises(NotAvailableError, match="did not end within 0 s"):
        checks.run([sys.executable, "-c", "import time; time.sleep(600)"], timeout_s=0.2)


def test_a_program_of_the_node_does_not_get_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "x")
    assert "CANARY" not in checks.run(["env"]).stdout


def test_a_missing_program_is_named() -> None:
    with pytest.raises(NotAvailableError, match="has no no-such-program"):
        checks.find_program("no-such-program")
