"""What admins ask of their centres: the last request of each, kept until the next. The hub does nothing about them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select

from fallow.capacity_requests import CapacityRequest, RequestBody, Wanted
from fallow.offers import Offer, OfferState
from fallow_matcher.capacity.tables import REQUEST
from fallow_matcher.database import reading, writing


def ask(database: Engine, centre: str, body: RequestBody, by: str, now: float) -> None:
    """Store a request in place of the centre's last one.

    Args:
        database: The hub's database.
        centre: The centre.
        body: What is asked for.
        by: Who asks.
        now: Unix time.
    """
    row = {"centre": centre, "wanted": body.wanted.value, "why": body.why, "asked_by": by, "at": int(now)}
    with writing(database) as connection:
        connection.execute(delete(REQUEST).where(REQUEST.c.centre == centre))
        connection.execute(insert(REQUEST).values(row))


def last(database: Engine, centre: str, offer: Offer | None) -> list[CapacityRequest]:
    """The last request to a centre, or none.

    Args:
        database: The hub's database.
        centre: The centre.
        offer: Its offer as it stands.
    """
    with reading(database) as connection:
        row = connection.execute(select(REQUEST).where(REQUEST.c.centre == centre)).one_or_none()
    if row is None:
        return []
    wanted = Wanted(row.wanted)
    return [
        CapacityRequest(
            centre=centre, wanted=wanted, why=row.why, by=row.asked_by,
            at=datetime.fromtimestamp(row.at, UTC), done=is_done(wanted, offer),
        )
    ]  # fmt: skip


def is_done(wanted: Wanted, offer: Offer | None) -> bool:
    """Whether an offer is as was asked; pure."""
    gives = offer is not None and offer.state is OfferState.OPEN
    return gives == (wanted is Wanted.RESUME)
