"""Durations and months as people say and write them."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def from_now(seconds: float) -> str:
    """`seconds` as "in 5 minutes", "2 hours ago" or "now": the largest unit that fits, rounded down."""
    for length, name in _UNITS:
        count = int(abs(seconds) // length)
        if count:
            amount = f"{count} {name}{'' if count == 1 else 's'}"
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A length of time on the command line, such as `7d`, `12h`, `90m` or `30s`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds that `value` says."""
        if isinstance(value, int):
            return value
        written = re.fullmatch(r"([1-9][0-9]{0,6})([dhms])", str(value))
        if written is None:
            self.fail(f"{value!r} is not a time such as 7d, 12h, 90m or 30s.", param, ctx)
        return int(written[1]) * {"d": 86_400, "h": 3_600, "m": 60, "s": 1}[written[2]]


class MonthName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A month on the command line, such as 2026-11."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The month as it was written."""
        from fallow.ledger.monthly import MONTH

        if re.fullmatch(MONTH, str(value)) is None:
            self.fail(f"{value!r} is no month; write 2026-11.", param, ctx)
        return str(value)


month_option = click.option("--month", type=MonthName(), required=True, help="The month, as 2026-11 (UTC).")
