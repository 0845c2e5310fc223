"""What a client must be told: where the hub is. Everything else it learns from there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional
from urllib.parse import urlsplit

from pydantic import AfterValidator

from fallow.errors import SettingsError
from fallow.settings import Settings, load, parse

if TYPE_CHECKING:
    from fallow.hub import HubClient


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not of the form https://HOST[:PORT]")
    return url.rstrip("/")


class ClientSettings(Settings):
    """The client's configuration file."""

    hub: Annotated[str, AfterValidator(_https)]
    """The gateway's URL, https://HOST[:PORT]."""
    other_hub: Optional[Annotated[str, AfterValidator(_https)]] = None
    """Where the federation has two hubs: the other gateway's URL, which is asked while `hub` does not answer."""
    ca_file: Optional[Path] = None
    """Certificate authorities (PEM) for the gateway's certificate, where no public one signed it."""


class _Partial(Settings):
    """The file may leave to the environment what the environment sets."""

    hub: Optional[str] = None
    other_hub: Optional[str] = None
    ca_file: Optional[Path] = None


def settings_path(environ: Mapping[str, str]) -> Path:
    """Where the client's configuration file is: `$FALLOW_CONFIG`, else `~/.config/fallow/config.toml`."""
    if named := environ.get("FALLOW_CONFIG"):
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "fallow" / "config.toml"


def client_settings(environ: Optional[Mapping[str, str]] = None) -> ClientSettings:
    """The client's settings: the file, with `FALLOW_HUB`, `FALLOW_OTHER_HUB` and `FALLOW_CA_FILE` over it.

    Raises:
        SettingsError: No hub is named anywhere, or a value is wrong; the message says which and where.
    """
    environ = os.environ if environ is None else environ
    path = settings_path(environ)
    merged: dict[str, Any] = {}
    if path.exists() or "FALLOW_CONFIG" in environ:
        merged = load(_Partial, path).model_dump(exclude_none=True)
        if "ca_file" in merged:
            merged["ca_file"] = path.parent / merged["ca_file"].expanduser()
    source = [str(path)] if merged else []
    for name in ClientSettings.model_fields:
        if value := environ.get(f"FALLOW_{name.upper()}"):
            merged[name] = value
            source.append(f"FALLOW_{name.upper()}")
    if "hub" not in merged:
        raise SettingsError(
            "No hub is named.",
            remedy=f'Write hub = "https://…" into {path}, or set FALLOW_HUB.',
            setting="hub",
        )
    return parse(ClientSettings, merged, source=" and ".join(source))


def connect(settings: Optional[ClientSettings] = None) -> "HubClient":
    """A client of the hub that shows the user's own token where the hub asks for one.

    Raises:
        SettingsError: The configuration is missing or wrong.
    """
    from fallow.hub import HubClient
    from fallow.login import access_token

    return HubClient(settings or client_settings(), token=access_token)
