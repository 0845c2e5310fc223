"""How the processes of a pilot that speak with the hub reach it: as any other, or from an enclave by relay or proxy."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from fallow.errors import NotAvailableError
from fallow_pilots.node import enclave
from fallow_pilots.node.forward import forward
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.processes import call_itself, die_with_parent
from fallow_pilots.node.signals import restore_signals
from fallow_pilots.relay.terms import read_terms
from fallow_pilots.relay.upstream import require_leads
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

LEAVE_S = 2.0
NAME = "fallow-way"
"""Of the process that carries, for who looks at the node."""


class Way:
    """The node's own network."""

    def enter(self) -> None:
        """Have the calling process, just forked, reach the hub."""

    def keep(self) -> None:
        """See to it that the way stands; called twice a second."""

    def close(self) -> None:
        """Give the way up."""


class Relayed(Way):
    """An enclave, and a process outside of it that carries to relay or proxy what is dialled inside.

    Args:
        inside: The enclave.
        terms: Where the terms of relay or proxy lie.
        pilot: The pilot's id.
    """

    def __init__(self, inside: enclave.Enclave, terms: Path, pilot: str) -> None:
        self._inside = inside
        self._terms = terms
        self._pilot = pilot
        self._process: int | None = None

    def enter(self) -> None:
        """Move into the enclave."""
        self._inside.enter()

    def keep(self) -> None:
        """Start the process that carries, if none runs; the sockets are kept here, so that none of them closes."""
        if self._process is not None and not _ended(self._process):
            return
        if self._process is not None:
            log.warning("the process that carries to the relay has ended and is started again")
        self._process = os.fork()
        if self._process == 0:
            self._carry()

    def close(self) -> None:
        """End the process that carries, and let the enclave go."""
        if self._process is not None:
            _end(self._process)
        self._inside.close()

    def _carry(self) -> NoReturn:
        try:
            restore_signals()
            die_with_parent()
            call_itself(NAME)
            asyncio.run(forward(self._inside.listening, self._terms, self._pilot))
        except BaseException:
            log.exception("the way to the relay failed")
        finally:
            os._exit(1)


def open_way(spec: PilotSpec, place: Layout) -> Way:
    """The way that the specification names.

    Raises:
        NotAvailableError: The node does not allow it, or the terms are not there.
        RefusedError: The site's proxy does not lead to all of the hub.
    """
    if spec.way_file is None:
        return Way()
    terms = read_terms(spec.way_file)
    if terms is None:
        raise NotAvailableError(
            f"There are no terms of a relay or proxy at {spec.way_file}.",
            remedy="Let the launcher run, and look at its log.",
        )
    if terms.key is None:
        require_leads(terms, terms.targets)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # what the site sets for its users leads nowhere from inside
    way = Relayed(enclave.make(terms.targets, spec.pilot, place.root / "hosts"), spec.way_file, spec.pilot)
    way.keep()
    return way


def _end(process: int) -> None:
    """Let a child clear up, but not for long."""
    deadline = time.monotonic() + LEAVE_S
    while not _ended(process):
        late = time.monotonic() > deadline
        os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.05)


def _ended(process: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitpid(process, os.WNOHANG)[0] != 0
    return True
