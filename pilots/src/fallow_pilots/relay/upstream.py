"""How the launcher's host gets out: by itself, by the site's proxy, or by a machine that is attached over ssh."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fallow.errors import FallowError, NotAvailableError, RefusedError, SettingsError
from fallow.files import read_private
from fallow_pilots.policy import Network
from fallow_pilots.relay.reach import NoWayError, reach_now, refusals
from fallow_pilots.relay.terms import Target, Terms, read_terms

if TYPE_CHECKING:
    from fallow.web import Dial

THERE_S = 5.0


def upstream_of(network: Network, attached: Path) -> Terms | None:
    """By whom the launcher's host gets out; None where it dials itself.

    Args:
        network: The policy's table.
        attached: Where `fallow pilot attach` leaves its terms.

    Raises:
        NotAvailableError: The policy wants an attached machine, and none is.
        SettingsError: The proxy's login cannot be read.
    """
    if network.proxy:
        parts = urlsplit(network.proxy)
        login = _login(network.proxy_login_file)
        return Terms(host=parts.hostname or "", port=parts.port or 0, login=login, targets=())
    if not network.attached:
        return None
    terms = read_terms(attached)
    if terms is None:
        raise NotAvailableError(
            "No machine is attached that leads to the hub.",
            remedy="Run `fallow pilot attach USER@HOST` on one that reaches the hub, and this host by ssh.",
        )
    return terms


def dial_of(network: Network, attached: Path) -> Dial | None:
    """How the launcher dials the hub; None where it does so itself."""
    if not (network.proxy or network.attached):
        return None

    def dial(host: str, port: int, limit_s: float) -> socket.socket:
        try:
            terms = upstream_of(network, attached)
        except FallowError as error:
            raise OSError(str(error)) from error
        if terms is None:
            raise OSError("there is no way out")
        try:
            return reach_now(terms, f"{host}:{port}", limit_s)
        except ConnectionRefusedError as error:
            raise OSError(f"nobody listens at {terms.authority}: {_who(terms)} is away") from error

    return dial


def require_leads(terms: Terms | None, targets: Sequence[Target]) -> None:
    """Have it said at once, and in whole, what the other side will not lead to; nothing where there is no other side.

    Raises:
        RefusedError: It refuses some of `targets`.
        NotAvailableError: It cannot be reached itself.
    """
    if terms is None:
        return
    try:
        refused = refusals(terms, targets)
    except OSError as error:
        raise _away(terms, error) from error
    if refused:
        raise RefusedError(_said(terms, refused), remedy=_remedy(terms, targets, refused))


def require_there(terms: Terms | None) -> None:
    """See whether the other side takes connections: cheap enough for each cycle.

    Raises:
        NotAvailableError: It does not.
    """
    if terms is None:
        return
    try:
        socket.create_connection((terms.host, terms.port), THERE_S).close()
    except OSError as error:
        raise _away(terms, error) from error


def _away(terms: Terms, error: OSError) -> NotAvailableError:
    return NotAvailableError(
        f"{_who(terms)} at {terms.authority} cannot be reached: {error}.", retryable=True
    )


def _who(terms: Terms) -> str:
    return "The site's proxy" if terms.key is None else "The attached machine"


def _said(terms: Terms, refused: Sequence[NoWayError]) -> str:
    named = ", ".join(f"{error.target} ({error.words})" for error in refused)
    return f"{_who(terms)} at {terms.authority} refuses connections to {named}."


def _remedy(terms: Terms, targets: Sequence[Target], refused: Sequence[NoWayError]) -> str:
    if terms.key is not None:
        return "Stop and start `fallow pilot attach` there; further places of network.also need its --also."
    if any(error.status == 407 for error in refused):
        return "It wants a login: write user:password into a file of mode 0600, named in network.proxy_login_file."
    wanted = ", ".join(f"{target.authority} ({target.what})" for target in targets)
    return f"Ask its admin to allow CONNECT to {wanted}, for this host and the compute nodes that use it."


def _login(path: Path | None) -> str | None:
    if path is None:
        return None
    text = (read_private(path) or "").strip()
    if ":" not in text or not text.isascii() or not text.isprintable():
        raise SettingsError(
            f"There is no login of the form user:password in {path}.", setting="network.proxy_login_file"
        )
    return text
