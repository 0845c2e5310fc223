"""How the parts of the hub are, for its operator: each is asked now, and what it does not answer is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import FallowError
from fallow.login.peek import expiry, peek
from fallow.tokens import Claims
from fallow_matcher import rules
from fallow_matcher.board.words import moment
from fallow_matcher.database import reading
from fallow_matcher.gateway.s3 import Store
from fallow_matcher.htcondor.configure import DAEMON_TOKEN
from fallow_matcher.matching import decision
from fallow_matcher.pool import Pool
from fallow_matcher.settings import HubSettings

LAUNCHERS_PART = 10
"""A launcher's token is due to be renewed when so small a part of its life is left."""
LATE = 6
"""A matcher that has not decided for so many intervals is told as late."""


class Hub(Protocol):
    """What a hub is looked at through."""

    @property
    def settings(self) -> HubSettings:
        """Its settings."""

    @property
    def pool(self) -> Pool:
        """Its HTCondor."""

    @property
    def database(self) -> Engine:
        """Its database."""

    @property
    def store(self) -> Store:
        """Its S3 store."""


@dataclass(frozen=True)
class Part:
    """One part: whether it is well, and in words how."""

    name: str
    well: bool
    words: str


@dataclass(frozen=True)
class Ending:
    """A token, and when it ends (unix time; None where it cannot be read)."""

    name: str
    ends: float | None
    soon: bool
    """Whether it should have been replaced by now, or is not known."""


def parts(hub: Hub, now: float) -> list[Part]:
    """Every part that a hub needs."""
    return [
        _asked("queue", lambda: _answers(hub.pool.jobs("true", ["ClusterId"], 1))),
        _asked(
            "collector",
            lambda: f"{len(hub.pool.slots('PartitionableSlot =?= true', ['Name']))} pilots' slots",
        ),
        _asked("database", lambda: _database(hub)),
        _asked("rules", lambda: f"version {rules.in_force(hub.database).version}, the history is whole"),
        _asked("store", lambda: _store(hub)),
        _matcher(hub, now),
    ]


def tokens(settings: HubSettings, now: float) -> list[Ending]:
    """The tokens that the hub itself lives on."""
    life_s = settings.lives.daemon_token_s
    try:
        said = (settings.state_dir / "tokens" / DAEMON_TOKEN).read_text(encoding="ascii").strip()
        ends = expiry(peek(said)[1])
    except (OSError, UnicodeError, FallowError):
        ends = None
    until = ends.timestamp() if ends else None
    return [Ending("HTCondor's daemons", until, until is None or until - now < life_s / 2)]


def launchers(seen: Mapping[str, Claims], centres: Sequence[str], now: float) -> list[Ending]:
    """The tokens of the centres' launchers, as they showed them last; a site's own token agent renews them.

    Args:
        seen: The claims of the last token of each centre's launcher since the gateway's start.
        centres: Every centre.
        now: Unix time.
    """
    found = []
    for centre in centres:
        claims = seen.get(centre)
        late = claims is None or claims.exp - now < (claims.exp - claims.iat) / LAUNCHERS_PART
        found.append(Ending(f"{centre}'s launcher", claims.exp if claims else None, late))
    return found


def _asked(name: str, call: Callable[[], str]) -> Part:
    try:
        return Part(name, True, call())
    except (FallowError, SQLAlchemyError, ValueError) as error:
        return Part(name, False, str(error))


def _answers(_: object) -> str:
    return "it answers"


def _database(hub: Hub) -> str:
    with reading(hub.database) as connection:
        connection.execute(text("SELECT 1"))
    return hub.database.dialect.name


def _store(hub: Hub) -> str:
    hub.store.image_bytes("sha256:" + "0" * 64)
    return hub.settings.storage.endpoint


def _matcher(hub: Hub, now: float) -> Part:
    last = decision.last(hub.settings.state_dir)
    if last is None:
        return Part("matcher", False, "no decision yet")
    well = now - last.at <= LATE * hub.settings.matching_interval_s
    # To the minute: an age would be another at each look, and all who look on would load the page again.
    return Part("matcher", well, f"decided at {moment(last.at)} UTC")
