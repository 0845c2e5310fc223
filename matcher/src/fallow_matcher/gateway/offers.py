"""The offers of the centres: the latest of each, forgotten when it expires, kept over a restart."""

from __future__ import annotations

import sqlite3
import threading
from datetime import datetime
from pathlib import Path

from fallow.offers import Offer


class OfferStore:
    """Offers in one SQLite file; every change is on disk before it is answered.

    Args:
        path: The file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS offer (centre TEXT PRIMARY KEY, document TEXT NOT NULL)"
        )
        self._offers = {
            centre: Offer.model_validate_json(document)
            for centre, document in self._database.execute("SELECT centre, document FROM offer")
        }

    def put(self, offer: Offer) -> None:
        """Store a centre's offer in place of its last one."""
        with self._lock:
            self._database.execute(
                "INSERT INTO offer VALUES (?, ?) ON CONFLICT (centre) DO UPDATE SET document = excluded.document",
                (offer.centre, offer.model_dump_json()),
            )
            self._offers[offer.centre] = offer

    def standing(self, now: datetime) -> list[Offer]:
        """The offers that have not expired at `now`, by centre; one that starts later is shown already."""
        with self._lock:
            return [offer for _, offer in sorted(self._offers.items()) if now < offer.expires]

    def close(self) -> None:
        """Close the file."""
        self._database.close()
