from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from fallow_pilots.node.lifecycle import Asked
from fallow_pilots.node.signals import Signals

SCRIPT = """
import sys
from fallow_pilots.node.signals import Signals
signals = Signals()
signals.install()
for expected in sys.argv[1:]:
    print("ready", flush=True)
    while signals.asked.name != expected:
        signals.wait(60)
print(signals.asked.name, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "asked"),
    [
        (signal.SIGUSR1, "DRAIN"),
        (signal.SIGTERM, "EVICT"),
        (signal.SIGINT, "EVICT"),
        (signal.SIGHUP, "EVICT"),
    ],
)
def test_a_signal_wakes_the_pilot(number: signal.Signals, asked: str) -> None:
    command = [sys.executable, "-c", SCRIPT, asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, number)
        assert process.stdout.read().split() == [asked]


def test_the_firmest_request_counts() -> None:
    signals = Signals()
    signals._receive(signal.SIGTERM, None)
    signals._receive(signal.SIGUSR1, None)
    assert signals.asked is Asked.EVICT
