"""The hub as a pilot speaks to it, with the pilot's own short token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallow.files import read_private
from fallow_pilots.spec import PilotSpec

if TYPE_CHECKING:
    from fallow.hub import HubClient


def hub_of(spec: PilotSpec) -> HubClient:
    """A client for the pilot's hub; its token is read again for each call, since it is renewed meanwhile."""
    from fallow.client import ClientSettings  # only processes that speak to the hub have its memory
    from fallow.hub import HubClient

    def token() -> str:
        return (read_private(spec.token_file) or "").strip()

    settings = ClientSettings(hub=spec.hub, other_hub=spec.other_hub, ca_file=spec.ca_file)
    return HubClient(settings, token=token)
