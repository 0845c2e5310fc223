"""Keeps what pilots need of the hub: where it is, and a fresh token to join it, on the shared file system.

The launcher's own WLCG token goes to the gateway only. Without the hub the last answers stand for as long as
they are valid.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fallow.client import ClientSettings
from fallow.errors import FallowError, NotAvailableError
from fallow.files import read_private, write_private
from fallow.messages import SCOPE_PILOT, Federation
from fallow_pilots.policy import Identity
from fallow_pilots.store import Store

if TYPE_CHECKING:
    from fallow.hub import HubClient
    from fallow.web import Dial

log = logging.getLogger(__name__)

FEDERATION = "federation"
TOKEN_LIFE = "token_life"  # noqa: S105 - the name of a fact
SHORTEST_S = 60
"""A token that is left less than this starts no pilot."""


@dataclass(frozen=True)
class Joining:
    """What a pilot is told about the hub, and what is wrong with it."""

    federation: Federation | None
    token_until: datetime | None
    trouble: str | None
    """Why the hub could not be asked just now; None when all is well."""

    def obstacle(self, now: datetime) -> str | None:
        """Why no pilot could join the hub, or None if one could."""
        because = f" {self.trouble}" if self.trouble else ""
        if self.federation is None:
            return f"The hub has never been reached.{because}"
        if self.token_until is None:
            return f"There is no token for pilots.{because}"
        if self.token_until - now < timedelta(seconds=SHORTEST_S):
            return f"The token for pilots expired at {self.token_until:%Y-%m-%d %H:%M:%S} UTC.{because}"
        return None


def hub_client(identity: Identity, dial: Dial | None = None) -> HubClient:
    """The gateway, called with the launcher's WLCG token, which is read again for each call.

    Args:
        identity: The policy's table.
        dial: How it is dialled, where not by this host itself.
    """
    from fallow.hub import HubClient
    from fallow.web import Web

    def token() -> str:
        text = read_private(identity.token_file)
        if text is None:
            raise NotAvailableError(
                f"There is no WLCG token at {identity.token_file}.",
                remedy="Let the site's token agent write it there (identity.token_file in the policy).",
            )
        return text.strip()

    settings = ClientSettings(hub=identity.hub, other_hub=identity.other_hub, ca_file=identity.ca_file)
    return HubClient(settings, token=token, web=Web(identity.ca_file, dial=dial))


class Credentials:
    """The pilots' token file and what the hub says of itself.

    Args:
        hub: The gateway.
        store: Where answers are remembered.
        token_file: The file that the token is kept in.
        account: The person whose pilots have this token; none: those of the launcher's own account.
    """

    def __init__(self, hub: HubClient, store: Store, token_file: Path, account: str | None = None) -> None:
        self._hub = hub
        self._store = store
        self.token_file = token_file
        self._life_fact = TOKEN_LIFE if account is None else f"{TOKEN_LIFE} {account}"

    def remembered(self, trouble: str | None = None) -> Joining:
        """What is known without asking the hub."""
        text = self._store.recall(FEDERATION)
        try:
            federation = None if text is None else Federation.model_validate_json(text)
        except ValidationError:
            federation = None
        life = self._life()
        return Joining(federation, life[1] if life and self.token_file.exists() else None, trouble)

    def refresh(self, now: datetime) -> Joining:
        """Ask the hub where its parts are, and replace the token when half of its life has passed."""
        trouble = None
        try:
            if self._due(now):
                self._store.remember(FEDERATION, self._hub.federation().model_dump_json())
                token = self._hub.exchange(SCOPE_PILOT)
                write_private(self.token_file, token.token + "\n")
                life = [now.timestamp(), token.expires.timestamp()]
                self._store.remember(self._life_fact, json.dumps(life))
                log.info("token for pilots renewed until %s", token.expires.isoformat())
        except FallowError as error:
            trouble = str(error)
            log.warning("hub: %s", error)
        return self.remembered(trouble)

    def _due(self, now: datetime) -> bool:
        life = self._life()
        if life is None or not self.token_file.exists():
            return True
        obtained, until = life
        return not obtained <= now < obtained + (until - obtained) / 2

    def _life(self) -> tuple[datetime, datetime] | None:
        """When the token was obtained and when it expires."""
        text = self._store.recall(self._life_fact)
        if text is None:
            return None
        obtained, until = (datetime.fromtimestamp(moment, tz=timezone.utc) for moment in json.loads(text))
        return obtained, until
