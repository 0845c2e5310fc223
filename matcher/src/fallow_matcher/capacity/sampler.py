"""Takes a sample of the capacity every so often, in a thread of the gateway."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from fallow.errors import NotAvailableError
from fallow_matcher.capacity import series
from fallow_matcher.capacity.offers import OfferStore
from fallow_matcher.capacity.sample import ATTRIBUTES, SLOTS, sample
from fallow_matcher.pool import Pool

logger = logging.getLogger(__name__)

SHRINK_EVERY_S = 600


class Sampler:
    """Records capacity until it is closed; a moment at which pool or database do not answer leaves a gap.

    Args:
        pool: The hub's pool.
        offers: The centres' offers.
        database: The hub's database.
        interval_s: Seconds from one sample to the next.
    """

    def __init__(self, pool: Pool, offers: OfferStore, database: Engine, interval_s: int) -> None:
        self._pool = pool
        self._offers = offers
        self._database = database
        self._interval_s = interval_s
        self._shrunk = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capacity", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def look(self) -> None:
        """Take one sample; a failure is logged."""
        now = time.time()
        try:
            slots = self._pool.slots(SLOTS, ATTRIBUTES)
            offers = self._offers.standing(datetime.fromtimestamp(now, UTC))
            series.record(self._database, now, self._interval_s, sample(offers, slots))
            if now - self._shrunk >= SHRINK_EVERY_S:
                series.shrink(self._database, now)
                self._shrunk = now
        except (NotAvailableError, SQLAlchemyError) as error:
            logger.warning("capacity was not recorded: %s", error)

    def close(self) -> None:
        """End the thread; one that still waits for the pool's answer is left behind, and ends with the process."""
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        self.look()
        while not self._closing.wait(self._interval_s):
            self.look()
