"""The launcher's part: terms that are up to date, and a relay that runs.

The relay is a process of its own and outlives its launcher, so that a restart of the launcher cuts no connection.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path

from fallow.errors import FallowError
from fallow.messages import Federation
from fallow_pilots.loop import holder
from fallow_pilots.policy import Policy
from fallow_pilots.relay.terms import lock_of, log_of, places, renew, targets_of

log = logging.getLogger(__name__)

_started: list[subprocess.Popen[bytes]] = []
"""What was started to outlive its starter: kept, as Python warns of a running process that nobody knows any more."""


class Keeper:
    """Keeps the relay of one centre, where its policy wants one.

    Args:
        policy: The centre's policy.
        terms: Where the terms lie.
    """

    def __init__(self, policy: Policy, terms: Path) -> None:
        self._policy = policy
        self._path = terms
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self, federation: Federation) -> str | None:
        """Bring the terms up to date and start the relay if none runs.

        Returns:
            Why nodes have no way to the hub; None where they have.
        """
        network = self._policy.network
        if network.profile != "relay":
            return None
        try:
            wanted = places(self._policy.identity.hub, federation, network.also)
            renew(
                self._path, network.relay_host or socket.gethostname(), network.relay_port, targets_of(wanted)
            )
            return self._running()
        except (FallowError, OSError) as error:
            return f"The relay cannot be set up: {error}"

    def _running(self) -> str | None:
        if holder(lock_of(self._path)) is not None:
            return None
        ended = None
        if self._process is not None:
            ended = self._process.poll()
            if ended is None:
                return None  # it is about to listen
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fallow_pilots.relay", str(self._path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        _started.append(self._process)
        log.info("the relay is started as process %d", self._process.pid)
        return f"The relay cannot listen; see {log_of(self._path)}." if ended else None
