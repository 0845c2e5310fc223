"""Checks run side by side, and none hangs the pilot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from fallow_pilots.node.bounded import Check, gather
from fallow_pilots.node.finding import Finding

LOST = Finding("slow", False, "It did not end.", fatal=True, capabilities={"Slow": False})


def found(name: str) -> Finding:
    return Finding(name, True, f"{name} from {os.getpid()}", capabilities={"Name": name})


def hang() -> Finding:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"], check=False)
    return found("hang")


def fail() -> Finding:
    os._exit(3)


def test_findings_come_in_the_order_of_their_checks() -> None:
    assert [
        one.check for one in gather([Check(lambda: found("a"), LOST), Check(lambda: found("b"), LOST)])
    ] == [
        "a",
        "b",
    ]


def test_each_check_is_a_process_of_its_own() -> None:
    assert str(os.getpid()) not in gather([Check(lambda: found("a"), LOST)])[0].words


def test_a_check_that_hangs_counts_as_lost_and_delays_nobody(tmp_path: Path) -> None:
    began = time.monotonic()
    assert gather([Check(hang, LOST, 0.3), Check(lambda: found("b"), LOST)])[0] is LOST
    assert time.monotonic() - began < 60


def test_a_check_that_fails_counts_as_lost() -> None:
    assert gather([Check(fail, LOST)]) == [LOST]


def test_a_long_answer_arrives_whole() -> None:
    words = "x" * 300_000
    assert gather([Check(lambda: Finding("long", True, words), LOST)])[0].words == words
