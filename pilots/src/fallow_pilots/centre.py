"""Puts the parts together for one centre, as its policy says."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from fallow.errors import SettingsError
from fallow_pilots.accounts.people import People
from fallow_pilots.batch import open_batch
from fallow_pilots.batch.model import BatchSystem
from fallow_pilots.credentials import Credentials, hub_client
from fallow_pilots.launcher import Launcher
from fallow_pilots.layout import Layout
from fallow_pilots.policy import Policy, read_policy
from fallow_pilots.prefetch import Prefetcher
from fallow_pilots.relay.keeper import Keeper
from fallow_pilots.relay.upstream import dial_of
from fallow_pilots.store import Store

log = logging.getLogger(__name__)


class Centre:
    """One centre: its policy, batch system, memory and launcher.

    Args:
        path: The policy's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = _changed_at(path)
        self.policy = read_policy(path)
        self.layout = Layout(self.policy)
        self.layout.make()
        self.store = Store(self.layout.store, self.policy.identity.centre)
        self._assemble()

    def _assemble(self) -> None:
        self.batch: BatchSystem = open_batch(self.policy.batch, self.layout.prefix)
        dial = dial_of(self.policy.network, self.layout.upstream)
        self.hub = hub_client(self.policy.identity, dial)
        self.credentials = Credentials(self.hub, self.store, self.layout.token)
        self.relay = Keeper(self.policy, self.layout.relay, self.layout.upstream)
        centre, hub = self.policy.identity.centre, self.hub
        self.people = People(self.policy, self.layout, partial(Credentials, hub, self.store))
        self.launcher = Launcher(
            self.policy,
            self.batch,
            self.store,
            self.credentials,
            publish=lambda offer: hub.publish_offer(centre, offer),
            reported=hub.report,
            prefetch=Prefetcher(hub, dial).kick,
            relay=self.relay.keep,
            people=self.people,
        )

    def reload(self) -> None:
        """Take over a changed policy; one that is wrong, or moves the centre, does not count."""
        changed_at = _changed_at(self._path)
        if changed_at == self._read_at:
            return
        self._read_at = changed_at
        try:
            policy = read_policy(self._path)
        except SettingsError as error:
            log.error("the old policy stays in force: %s", error)  # noqa: TRY400 - a sentence for the site admin
            return
        if _fixed(policy) != _fixed(self.policy):
            log.error("the old policy stays: state_dir, centre and batch.system change only at a restart")
            return
        self.policy = policy
        self._assemble()
        log.info("the changed policy is in force")


def _fixed(policy: Policy) -> tuple[Path, str, str]:
    return policy.state_dir, policy.identity.centre, policy.batch.system


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
