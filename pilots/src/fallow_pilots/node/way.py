"""How the processes of a pilot that speak with the hub reach it: as any other, or from an enclave through the relay."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from fallow.errors import NotAvailableError
from fallow_pilots.node import enclave
from fallow_pilots.node.forward import forward
from fallow_pilots.node.layout import Layout
from fallow_pilots.node.processes import die_with_parent
from fallow_pilots.node.signals import restore_signals
from fallow_pilots.relay.terms import read_terms
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)


class Way:
    """The node's own network."""

    def enter(self) -> None:
        """Have the calling process, just forked, reach the hub."""

    def keep(self) -> None:
        """See to it that the way stands; called twice a second."""

    def close(self) -> None:
        """Give the way up."""


class Relayed(Way):
    """An enclave, and a process outside of it that carries to the relay what is dialled inside.

    Args:
        inside: The enclave.
        terms: Where the relay's terms lie.
    """

    def __init__(self, inside: enclave.Enclave, terms: Path) -> None:
        self._inside = inside
        self._terms = terms
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
        if self._process is not None and not _ended(self._process):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        self._inside.close()

    def _carry(self) -> NoReturn:
        try:
            restore_signals()
            die_with_parent()
            asyncio.run(forward(self._inside.listening, self._terms))
        except BaseException:
            log.exception("the way to the relay failed")
        finally:
            os._exit(1)


def open_way(spec: PilotSpec, place: Layout) -> Way:
    """The way that the specification names.

    Raises:
        NotAvailableError: The node does not allow it, or the relay's terms are not there.
    """
    if spec.relay_file is None:
        return Way()
    terms = read_terms(spec.relay_file)
    if terms is None:
        raise NotAvailableError(
            f"There are no terms of a relay at {spec.relay_file}.",
            remedy="Let the launcher run, and look at its log.",
        )
    way = Relayed(enclave.make(terms.targets, spec.pilot, place.root / "hosts"), spec.relay_file)
    way.keep()
    return way


def _ended(process: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitpid(process, os.WNOHANG)[0] != 0
    return True
