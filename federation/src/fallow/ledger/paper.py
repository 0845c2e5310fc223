"""A month's report as files: a page for browsers, and PDF. The same report gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fallow.errors import NotAvailableError
from fallow.html import table, whole
from fallow.ledger.statement import Block, Heading, Plot, Table, Text, blocks, title

if TYPE_CHECKING:
    from fallow.ledger.monthly import MonthReport

_FONT = "Source Sans Pro"
"""Has Latin with all its accents, Greek and Cyrillic; a file holds of it what it uses, as its licence (OFL 1.1) lets it."""


def page(report: MonthReport) -> str:
    """The report as one HTML file."""
    return whole(title(report), _html(report))


def _html(report: MonthReport) -> Iterator[str]:
    yield f"<h1>{escape(title(report))}</h1>"
    for block in blocks(report):
        if isinstance(block, Heading):
            yield f"<h2>{escape(block.text)}</h2>"
        elif isinstance(block, Text):
            yield f"<p>{escape(block.text)}</p>"
        elif isinstance(block, Table):
            yield table(block.rows)
        else:
            yield block.svg


def pdf(report: MonthReport) -> bytes:
    """The report as PDF.

    Raises:
        NotAvailableError: The library that writes it, or its font, is not installed.
    """
    try:
        from font_source_sans_pro import font_files_ttf  # type: ignore[import-untyped]
        from fpdf import FPDF
    except ImportError as error:
        raise NotAvailableError(
            f"PDF needs fpdf2 and the font {_FONT}.", remedy="pip install 'fallow[report]'"
        ) from error
    made = FPDF()
    for style, file in {"": "SourceSansPro", "B": "SourceSansProBold"}.items():
        made.add_font(_FONT, style, font_files_ttf[file])
    made.set_creation_date(report.until)  # else it would be now, and no two files alike
    made.set_title(title(report))
    made.set_lang("en")
    made.add_page()
    made.set_font(_FONT, "B", 16)
    made.multi_cell(0, 9, title(report), new_x="LMARGIN", new_y="NEXT")
    for block in blocks(report):
        _set(made, block)
    return bytes(made.output())


def _set(made: Any, block: Block) -> None:
    if isinstance(block, Heading):
        made.ln(3)
        made.set_font(_FONT, "B", 12)
        made.multi_cell(0, 7, block.text, new_x="LMARGIN", new_y="NEXT")
    elif isinstance(block, Plot):
        made.image(BytesIO(block.svg.encode()), w=made.epw)
    elif isinstance(block, Table) and block.rows:
        made.set_font(_FONT, "", 9)
        with made.table(line_height=5, text_align="LEFT", padding=0.5) as rows:
            head = [name.replace("_", " ") for name in block.rows[0]]
            for cells in (head, *(map(str, row.values()) for row in block.rows)):
                rows.row(cells)
    else:
        made.set_font(_FONT, "", 10)
        text = block.text if isinstance(block, Text) else "None."
        made.multi_cell(0, 5, text, new_x="LMARGIN", new_y="NEXT")
