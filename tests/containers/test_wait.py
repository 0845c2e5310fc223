"""How long is waited for a condition, on an idle and on a busy machine."""

from __future__ import annotations

import itertools
import os
import time

import pytest

from fallow.errors import NotAvailableError
from fallow_testbed.patience import Patience
from fallow_testbed.wait import wait_until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second later."""
    seconds = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))


def looks(patience: Patience) -> int:
    return 1 + sum(1 for _ in iter(patience.over, True))


@pytest.mark.parametrize(("load", "waited"), [(0.0, 10), (2.0, 10), (4.0, 20), (100.0, 40)])
@pytest.mark.usefixtures("clock")
def test_a_busy_machine_is_given_more_time_but_not_without_end(
    monkeypatch: pytest.MonkeyPatch, load: float, waited: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))

    assert looks(Patience(10)) == waited


@pytest.mark.usefixtures("clock")
def test_what_does_not_come_is_named() -> None:
    with pytest.raises(NotAvailableError, match="The sunrise was not ready within 3 s"):
        wait_until(lambda: False, "The sunrise", 3, pause_s=0)
