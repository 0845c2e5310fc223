"""The offers of the centres: the latest of each, forgotten when it expires, kept over a restart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select

from fallow.offers import Offer
from fallow_matcher.capacity.change import change
from fallow_matcher.capacity.tables import OFFER
from fallow_matcher.database import reading, writing


@dataclass(frozen=True)
class Change:
    """When a centre's offer last became another one, and how."""

    at: datetime
    centre: str
    words: str


class OfferStore:
    """Offers in the hub's database; every change is on disk before it is answered.

    Args:
        database: The hub's database.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def put(self, offer: Offer, now: datetime) -> None:
        """Store a centre's offer in place of its last one."""
        with writing(self._database) as connection:
            last = connection.execute(select(OFFER).where(OFFER.c.centre == offer.centre)).one_or_none()
            before = Offer.model_validate_json(last.document) if last is not None else None
            stood = before if before is not None and now < before.expires else None
            words = change(stood, offer)
            row = {
                "centre": offer.centre,
                "document": offer.model_dump_json(),
                "changed_at": int(now.timestamp()) if words or last is None else last.changed_at,
                "change": words or (last.change if last is not None else ""),
            }
            connection.execute(delete(OFFER).where(OFFER.c.centre == offer.centre))
            connection.execute(insert(OFFER).values(row))

    def standing(self, now: datetime) -> list[Offer]:
        """The offers that have not expired at `now`, by centre."""
        with reading(self._database) as connection:
            rows = connection.execute(select(OFFER.c.document).order_by(OFFER.c.centre)).all()
        found = [Offer.model_validate_json(row.document) for row in rows]
        return [offer for offer in found if now < offer.expires]

    def changes(self) -> list[Change]:
        """The last change of each centre's offer, the latest first; also of offers that have expired."""
        with reading(self._database) as connection:
            rows = connection.execute(select(OFFER).order_by(OFFER.c.changed_at.desc(), OFFER.c.centre)).all()
        return [Change(datetime.fromtimestamp(row.changed_at, UTC), row.centre, row.change) for row in rows]
