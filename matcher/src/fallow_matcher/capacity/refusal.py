"""Why the hub does not take an offer that is well formed; a pure function."""

from __future__ import annotations

from datetime import datetime, timedelta

from fallow.errors import UsageError
from fallow.offers import Offer
from fallow.queue.literals import expression

SKEW = timedelta(seconds=60)
"""How far a launcher's clock may be ahead of the hub's."""

LONGEST = timedelta(days=7)
"""How long an offer may stand without being renewed: a launcher that has gone must not be believed for long."""


def refusal(offer: Offer, centre: str, now: datetime) -> str | None:
    """The reason for which an offer is refused, as `field: sentence`; None where it is taken.

    Args:
        offer: What was sent.
        centre: The centre whose launcher sent it.
        now: The hub's clock.
    """
    if offer.centre != centre:
        return f"centre: the offer is of {offer.centre}, not {centre}."
    if offer.expires <= now:
        return f"expires: the offer ended at {_at(offer.expires)}, and here it is {_at(now)}."
    if offer.starts > now + SKEW:
        return f"starts: the offer begins at {_at(offer.starts)}, and here it is {_at(now)}."
    if offer.expires > now + LONGEST:
        return f"expires: an offer stands for {LONGEST.days} days at most, not until {_at(offer.expires)}."
    for number, condition in enumerate(offer.conditions):
        if condition.requirement:
            try:
                expression(condition.requirement, what=f"conditions.{number}.requirement:")
            except UsageError as error:
                return error.what
    return None


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
