"""What a testbed needs of the machine."""

import os
import shutil

import pytest

from fallow.errors import NotAvailableError
from fallow_testbed.testbed import check_machine


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotAvailableError, match=r"A testbed needs root.*Run it with sudo"):
        check_machine()


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "ip" else f"/usr/bin/{name}")
    with pytest.raises(NotAvailableError, match=r"`ip` is missing.*apt-get install iproute2"):
        check_machine()
