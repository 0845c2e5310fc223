"""How the parts of the hub are, for its operator: each is asked now, and what it does not answer is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import FallowError
from fallow.login.peek import expiry, peek
from fallow_matcher import rules
from fallow_matcher.database import reading
from fallow_matcher.gateway.services import Services
from fallow_matcher.htcondor.configure import DAEMON_TOKEN
from fallow_matcher.matching import decision

LATE = 6
"""A matcher that has not decided for so many intervals is told as late."""


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
    """Whether it is due to be replaced: less than half of its life is left."""


def parts(hub: Services, now: float) -> list[Part]:
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


def tokens(hub: Services, now: float) -> list[Ending]:
    """The tokens that the hub itself lives on."""
    life_s = hub.settings.lives.daemon_token_s
    try:
        said = (hub.settings.state_dir / "tokens" / DAEMON_TOKEN).read_text(encoding="ascii").strip()
        ends = expiry(peek(said)[1])
    except (OSError, UnicodeError, FallowError):
        ends = None
    until = ends.timestamp() if ends else None
    return [Ending("HTCondor's daemons", until, until is None or until - now < life_s / 2)]


def _asked(name: str, call: Callable[[], str]) -> Part:
    try:
        return Part(name, True, call())
    except (FallowError, SQLAlchemyError, ValueError) as error:
        return Part(name, False, str(error))


def _answers(_: object) -> str:
    return "it answers"


def _database(hub: Services) -> str:
    with reading(hub.database) as connection:
        connection.execute(text("SELECT 1"))
    return hub.database.dialect.name


def _store(hub: Services) -> str:
    hub.store.image_bytes("sha256:" + "0" * 64)
    return hub.settings.storage.endpoint


def _matcher(hub: Services, now: float) -> Part:
    last = decision.last(hub.settings.state_dir)
    if last is None:
        return Part("matcher", False, "no decision yet")
    age_s = now - last.at
    return Part("matcher", age_s <= LATE * hub.settings.matching_interval_s, f"decided {age_s:.0f} s ago")
