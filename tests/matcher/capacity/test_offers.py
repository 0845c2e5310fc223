"""Offers: the latest of each centre, until it expires, over a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fallow.offers import Offer
from fallow_matcher.gateway.offers import OfferStore

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def offer(centre: str, *, pilots: int = 0, life: timedelta = timedelta(minutes=5)) -> Offer:
    return Offer(centre=centre, shapes=[], running_pilots=pilots, starts=NOW, expires=NOW + life)


def test_the_latest_offer_of_a_centre_counts(tmp_path: Path) -> None:
    store = OfferStore(tmp_path / "offers.sqlite")
    for pilots in (1, 2):
        store.put(offer("north", pilots=pilots))
    assert [item.running_pilots for item in store.standing(NOW)] == [2]
    store.close()


def test_an_offer_ends_by_itself(tmp_path: Path) -> None:
    store = OfferStore(tmp_path / "offers.sqlite")
    store.put(offer("north"))
    assert store.standing(NOW + timedelta(minutes=5)) == []
    store.close()


def test_offers_survive_a_restart(tmp_path: Path) -> None:
    store = OfferStore(tmp_path / "offers.sqlite")
    store.put(offer("south"))
    store.put(offer("north", pilots=7))
    store.close()
    again = OfferStore(tmp_path / "offers.sqlite")
    assert [(item.centre, item.running_pilots) for item in again.standing(NOW)] == [
        ("north", 7),
        ("south", 0),
    ]
    again.close()
