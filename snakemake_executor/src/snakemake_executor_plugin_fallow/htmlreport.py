"""A run's summary as a section of Snakemake's HTML report."""

from __future__ import annotations

import html
import json
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_fallow.efficiency import HEAD, Fared, cells


def section(records: Path, run: str | None = None) -> str:
    """The summary as HTML.

    Args:
        records: The executor's folder, `.snakemake/fallow`.
        run: The run; the latest if None.

    Raises:
        WorkflowError: There is no summary of such a run.
    """
    path = records / f"{run}.json" if run else max(records.glob("*.json"), default=None)
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path else {}
        rows = [cells(Fared(**row)) for row in document["rules"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WorkflowError(
            f"There is no summary of {f'the run {run}' if run else 'a run'} in {records}: "
            "run the workflow with --executor fallow first."
        ) from error
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<h2>Fallow run {html.escape(str(document['run']))}</h2>"
        "<p>CPU and memory are shares of what was asked for; the last two columns say what to ask for next time.</p>"
        f'<table class="fallow"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
