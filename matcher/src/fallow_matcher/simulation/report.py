"""A study as one HTML file: sentences, plots and tables, no script, nothing fetched."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from fallow.errors import NotAvailableError
from fallow_matcher.simulation.metrics import Comparison, Figures
from fallow_matcher.simulation.study import ALONE, BUILT_IN, Cheat, Study

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.big { font-size: 1.3rem; }
svg { max-width: 100%; height: auto; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security policy of the page: style within it, and nothing else."""


def page(study: Study) -> str:
    """The report.

    Raises:
        NotAvailableError: The library that draws is not installed.
    """
    body = [
        "<h1>What federating would bring</h1>",
        *(f'<p class="big">{escape(said)}</p>' for said in answer(study)),
        f"<p>Simulated: {escape(study.load)}.</p>",
        "<h2>Mean wait</h2>",
        _waits(study),
        "<h2>Each centre, beside alone</h2>",
        "<p>1 is what the centre waits alone; below it waits less.</p>",
        _relative(study),
        _table(_ROW, [_row(each) for each in study.policies]),
        "<h2>Centres</h2>",
    ]
    for each in study.policies:
        body.append(f"<h3>{escape(each.policy)}</h3>")
        if each.policy in BUILT_IN:
            body.append(f"<p>{escape(BUILT_IN[each.policy])}</p>")
        body.append(_table(_CENTRE, [_centre(figures) for figures in each.centres]))
    if study.cheats:
        body += [
            "<h2>What cheating would bring</h2>",
            _table(_CHEAT, [_cheat(each) for each in study.cheats]),
        ]
    if study.notes:
        body += ["<h2>Assumed</h2><ul>", *(f"<li>{escape(note)}</li>" for note in study.notes), "</ul>"]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>What federating would bring</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def answer(study: Study) -> list[str]:
    """What a centre's director wants to know, in sentences."""
    told = next((each for each in study.policies if each.policy == "fallow"), study.policies[-1])
    if told.policy == ALONE or told.cut is None:
        return []
    said = [
        f"Federated ({told.policy}), a job waits {_minutes(told.total.mean_wait_s)} on average instead of "
        f"{_minutes(told.total.alone_s or 0)}: {100 * told.cut:.0f} % less."
    ]
    mine = next((each for each in told.centres if each.centre == study.mine), None)
    if mine is not None and mine.alone_s is not None:
        better = "less" if mine.mean_wait_s <= mine.alone_s else "longer"
        said.append(
            f"{mine.centre}'s own jobs wait {_minutes(mine.mean_wait_s)} instead of {_minutes(mine.alone_s)}, which is "
            f"{better}; it gives {mine.given_h:,.0f} core-hours to others and uses {mine.used_h:,.0f} of theirs."
        )
    if told.total.unserved:
        said.append(f"{told.total.unserved} jobs are too wide or too long for any centre, and count nowhere.")
    if told.worst_loss_s is not None:
        said.append(
            f"{told.worst_centre} waits {_minutes(told.worst_loss_s)} longer than alone."
            if told.worst_loss_s > 0
            else "No centre waits longer than alone."
        )
    return said


_ROW = (
    "policy",
    "mean wait",
    "cut",
    "p95 wait",
    "slowdown",
    "utilisation",
    "Jain index",
    "exchanged",
    "not served",
    "evictions",
    "worst loss",
)
_CENTRE = (
    "centre", "jobs", "not served", "mean wait", "beside alone", "p95 wait", "slowdown", "utilisation",
    "makespan", "gives", "uses",
)  # fmt: skip
_CHEAT = (
    "strategy",
    "rules",
    "centre",
    "done after, honest",
    "cheating",
    "gain",
    "worst of the others beside alone",
)


def rows(study: Study) -> list[dict[str, str]]:
    """A row for each policy, as a table on the screen shows it."""
    found = []
    for each in study.policies:
        row = dict(zip(_ROW, _row(each), strict=True))
        for figures in each.centres:
            row[figures.centre] = _minutes(figures.mean_wait_s) + (
                "" if figures.relative is None or each.policy == ALONE else f" ({figures.relative:.2f})"
            )
        found.append(row)
    return found


def cheat_rows(study: Study) -> list[dict[str, str]]:
    """A row for each attempt to cheat."""
    return [dict(zip(_CHEAT, _cheat(each), strict=True)) for each in study.cheats]


def _row(each: Comparison) -> tuple[str, ...]:
    total = each.total
    loss = "" if each.worst_loss_s is None else f"{each.worst_centre} {each.worst_loss_s / 60:+.1f} min"
    return (
        each.policy,
        _minutes(total.mean_wait_s),
        "" if each.cut is None else f"{100 * each.cut:.1f} %",
        _minutes(total.p95_wait_s),
        f"{total.slowdown:.1f}",
        f"{100 * total.utilisation:.1f} %",
        f"{each.jain:.2f}",
        f"{100 * each.exchanged:.1f} %",
        str(total.unserved),
        str(each.evictions),
        loss,
    )


def _centre(found: Figures) -> tuple[str, ...]:
    return (
        found.centre,
        str(found.jobs),
        str(found.unserved),
        _minutes(found.mean_wait_s),
        "" if found.relative is None else f"{found.relative:.2f}",
        _minutes(found.p95_wait_s),
        f"{found.slowdown:.1f}",
        f"{100 * found.utilisation:.1f} %",
        f"{found.makespan_s / 3600:.1f} h",
        f"{found.given_h:,.0f} h",
        f"{found.used_h:,.0f} h",
    )


def _cheat(found: Cheat) -> tuple[str, ...]:
    return (
        found.strategy,
        found.policy,
        found.centre,
        _minutes(found.honest_s),
        _minutes(found.cheating_s),
        "" if found.gain is None else f"{100 * found.gain:+.1f} %",
        "" if found.others is None else f"{found.others:.2f}",
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min"


def _table(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table><tr>{head}</tr>{body}</table>"


def _waits(study: Study) -> str:
    return _bars(
        {
            "all jobs": {each.policy: each.total.mean_wait_s / 60 for each in study.policies},
            **(
                {
                    study.mine: {
                        each.policy: figures.mean_wait_s / 60
                        for each in study.policies
                        for figures in each.centres
                        if figures.centre == study.mine
                    }
                }
                if study.mine
                else {}
            ),
        },
        [each.policy for each in study.policies],
        "minutes",
    )


def _relative(study: Study) -> str:
    federated = [each for each in study.policies if each.policy != ALONE]
    return _bars(
        {
            each.policy: {
                figures.centre: figures.relative for figures in each.centres if figures.relative is not None
            }
            for each in federated
        },
        [figures.centre for figures in study.policies[0].centres],
        "beside alone",
    )


def _bars(series: Mapping[str, Mapping[str, float]], labels: Sequence[str], unit: str) -> str:
    pygal = _pygal()
    chart = pygal.Bar(
        js=[],
        style=pygal.style.LightColorizedStyle(font_family="sans-serif"),
        width=900,
        height=380,
        y_title=unit,
        disable_xml_declaration=True,
        legend_at_bottom=True,
        explicit_size=False,
        include_x_axis=True,
        no_prefix=False,
        value_formatter=lambda value: f"{value:,.2f}",
    )
    chart.add_xml_filter(_without_scripts)
    chart.x_labels = list(labels)
    for name, values in series.items():
        chart.add(name, [values.get(label) for label in labels])
    drawn: str = chart.render(is_unicode=True)
    return drawn


def _without_scripts(root: Any) -> Any:
    for parent in list(root.iter()):
        for child in [each for each in parent if str(each.tag).endswith("script")]:
            parent.remove(child)
    return root


def _pygal() -> Any:
    try:
        import pygal
        import pygal.style
    except ImportError as error:
        raise NotAvailableError(
            "The report needs the library pygal.", remedy="pip install 'fallow-matcher[report]'"
        ) from error
    # It leaves a finder of the kind that Python no longer asks, and warns of at each later import.
    sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return pygal
