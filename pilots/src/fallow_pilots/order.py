"""Why a launcher asks a pilot to stop: a line of JSON beside the pilot's outcome, written before any signal.

A signal alone does not tell the owner's wish from a preemption. A pilot that is signalled reads this file; where there is
none, the batch system asked.
"""

from enum import Enum
from pathlib import Path
from typing import Optional

from pydantic import AwareDatetime, ValidationError

from fallow.errors import FallowError
from fallow.files import read_private, write_private
from fallow.settings import Settings


class Wish(str, Enum):
    """What the owner of the capacity wants."""

    DRAIN = "drain"
    """Finish what runs."""
    WITHDRAW = "withdraw"
    """Have the capacity back: what runs and is given back to the queue is marked as withdrawn by its owner."""


class Order(Settings):
    """One pilot is asked to leave."""

    wish: Wish
    """What is wanted."""
    leave_by: Optional[AwareDatetime] = None
    """When the pilot is removed, whatever it does; none: at its own end."""


def order_file(outcome_file: Path) -> Path:
    """Where the order lies for the pilot that leaves its outcome at `outcome_file`."""
    return outcome_file.with_name("order.json")


def write_order(outcome_file: Path, order: Order) -> None:
    """Leave an order, whole or not at all."""
    write_private(order_file(outcome_file), order.model_dump_json() + "\n")


def read_order(outcome_file: Path) -> Optional[Order]:
    """The order that was left, if any; one that makes no sense counts as none."""
    try:
        text = read_private(order_file(outcome_file))
        return None if text is None else Order.model_validate_json(text)
    except (FallowError, ValidationError):
        return None
