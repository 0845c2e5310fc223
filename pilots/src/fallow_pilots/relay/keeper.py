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
from fallow_pilots.relay.terms import Target, Terms, lock_of, log_of, places, put, renew, targets_of
from fallow_pilots.relay.upstream import require_leads, require_there, upstream_of

log = logging.getLogger(__name__)

_started: list[subprocess.Popen[bytes]] = []
"""What was started to outlive its starter: kept, as Python warns of a running process that nobody knows any more."""


class Keeper:
    """Keeps the way of one centre's nodes to the hub: the terms that they find it by, and the relay where there is one.

    Args:
        policy: The centre's policy.
        terms: Where the relay's terms lie.
        upstream: Where those lie of whoever the launcher's host gets out by.
    """

    def __init__(self, policy: Policy, terms: Path, upstream: Path) -> None:
        self._policy = policy
        self._path = terms
        self._upstream = upstream
        self._process: subprocess.Popen[bytes] | None = None
        self._led: Terms | None = None

    def keep(self, federation: Federation) -> str | None:
        """Bring the terms up to date and start the relay if none runs.

        Returns:
            Why nodes have no way to the hub; None where they have.
        """
        if self._policy.network.profile == "direct":
            return None
        try:
            return self._keep(federation)
        except (FallowError, OSError) as error:
            return f"Nodes have no way to the hub: {error}"

    def lead(self, federation: Federation | None) -> tuple[Terms | None, list[Target]]:
        """By whom this host gets out, with terms that are up to date, and where he has to lead.

        Args:
            federation: What the hub says of itself; None where it could not be asked yet: then to the gateway alone.

        Raises:
            FallowError: There is nobody, or a name is not known.
        """
        network = self._policy.network
        upstream = upstream_of(network, self._upstream)
        known = {target.host: target.address for target in upstream.targets} if upstream else {}
        targets = targets_of(places(self._policy.identity.hub, federation, network.also), known)
        if upstream is not None and network.proxy:
            upstream = upstream.model_copy(update={"targets": tuple(targets)})
            put(self._upstream, upstream)
        return upstream, targets

    def _keep(self, federation: Federation) -> str | None:
        network = self._policy.network
        upstream, targets = self.lead(federation)
        if upstream != self._led:
            require_leads(upstream, targets)
            self._led = upstream
        else:
            require_there(upstream)
        if not network.relayed:
            return None
        host = network.relay_host or socket.gethostname()
        by = self._upstream if upstream else None
        metrics = self._policy.metrics_file("relay")
        renew(self._path, host, network.relay_port, targets, by, self._policy.files_dir, metrics)
        return self._running()

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
