"""A page of the docs whose figures stand between two marks."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


def put_figures(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ValueError: The page has not both marks, once each and in this order.
    """
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


def figures_of(page: Path) -> str:
    """What stands between the marks of a page."""
    _, rest = page.read_text(encoding="utf-8").split(BEGIN)
    return rest.split(END)[0]
