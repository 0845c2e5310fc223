"""The queue as the hub's operator acts on it: by an identity that may do so to everybody's jobs, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fallow.queue.session import install_token
from fallow_matcher.htcondor import effective, keys
from fallow_matcher.htcondor.idtokens import USER_RIGHTS, Mint, Minted
from fallow_matcher.identities import operator_identity
from fallow_matcher.pool import asking, hub_schedd
from fallow_matcher.settings import HubSettings

TOKEN_S = 600

T = TypeVar("T")


def credential(settings: HubSettings, config: Path) -> Minted:
    """A token of the operator, of whom the schedd has a record then: without one it heeds no superuser.

    Args:
        settings: The hub's settings.
        config: The hub's `condor_config`.

    Raises:
        NotAvailableError: The schedd does not answer.
    """
    identity = operator_identity(settings.trust_domain)
    effective.add_user(config, settings.account, settings.schedd_name, identity)
    now = int(time.time())
    mint = Mint(settings.trust_domain, keys.directory(settings))
    return mint.mint(keys.DAEMON_KEY, identity, USER_RIGHTS, now=now, expires=now + TOKEN_S)


def on_queue(settings: HubSettings, token: str, call: Callable[[Any], T]) -> T:
    """What `call` makes of the schedd.

    A process is one identity to HTCondor for as long as it lives: this is for processes that do nothing else with it.

    Raises:
        NotAvailableError: The queue does not answer, or refuses.
    """
    with asking("queue") as htcondor:
        install_token(settings.trust_domain, token)
        return call(hub_schedd(htcondor, settings))
