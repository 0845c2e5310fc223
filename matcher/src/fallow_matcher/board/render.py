"""Pages from templates: everything that comes from elsewhere is escaped, and what a name lacks is an error."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fallow.rules.model import Published
from fallow_matcher.board import chart, words
from fallow_matcher.board.figures import Figures

ASSETS = {
    "board.css": "text/css",
    "board.js": "text/javascript",
    "own.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader("fallow_matcher.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "duration": words.duration,
        "amount": words.amount,
        "hours": words.hours,
        "balance": words.balance,
        "moment": words.moment,
    }
    made.globals |= {"capacity_chart": chart.capacity, "bar": chart.bar, "assets": stamps()}
    return made


@cache
def asset(name: str) -> bytes:
    """A file that the page needs."""
    return resources.files("fallow_matcher.board").joinpath("static", name).read_bytes()


@cache
def stamps() -> dict[str, str]:
    """The address of each asset: another content has another, so a browser may keep it."""
    return {name: f"/board/{hashlib.sha256(asset(name)).hexdigest()[:16]}/{name}" for name in ASSETS}


def page(template: str, **values: Any) -> str:
    """A whole page."""
    return environment().get_template(template).render(**values)


PARTS: Mapping[str, Published] = {
    "capacity": "capacity",
    "history": "capacity",
    "waiting": "waiting",
    "waits": "waits",
    "balances": "balances",
    "rules": "rules",
}
"""The sections of the federation's page in order, and as what each is published."""


def sections(figures: Figures) -> dict[str, Markup]:
    """All sections of the federation's page, by id and in order."""
    return {
        name: Markup(environment().get_template(f"parts/{name}.html").render(figures=figures))  # noqa: S704 - our own template escapes
        for name in PARTS
    }
