"""`fallow explain`: why a job waits, or why it ran where and when it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fallow.explanations import Explanation, Place, Run, Verdict


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(job: str, as_json: bool) -> None:
    """Say why JOB (an id such as 12.0) waits, or why it runs or ran where and when it does."""
    import re

    from fallow.client import connect
    from fallow.errors import UsageError
    from fallow.web import for_people

    if not re.fullmatch(r"[1-9][0-9]{0,17}\.(0|[1-9][0-9]{0,17})", job):
        raise UsageError(f"{job!r} is not a job id.", remedy="A job id looks like 12.0; see: fallow jobs")
    found = connect().explain(job)
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    for line in lines(found):
        text = line.lstrip(" ")
        click.echo(line[: len(line) - len(text)] + for_people(text, 2000))


def lines(found: Explanation) -> Iterator[str]:
    """The explanation as a person reads it."""
    name = f" ({found.name})" if found.name else ""
    yield f"Job {found.job}{name} is {found.state.value}. {found.summary}"
    yield f"  It asks for {found.requests}."
    if found.run is not None:
        yield from _run(found.run)
    if found.verdicts:
        yield ""
        yield "The centres' offers:"
        width = max(len(each.centre) for each in found.verdicts)
        for verdict in found.verdicts:
            yield from _verdict(verdict, width)
    if found.place is not None:
        yield ""
        yield from _place(found.place, any(verdict.fits for verdict in found.verdicts))
    if found.changes:
        yield ""
        yield "What changed last:"
        for event in found.changes:
            yield f"  {event.at:%Y-%m-%d %H:%M:%S} UTC  {event.words}"


def _verdict(verdict: Verdict, width: int) -> Iterator[str]:
    ahead = "" if verdict.ahead is None else f" {verdict.ahead} waiting jobs come first there."
    name = verdict.centre.ljust(width)
    yield f"  {name}  {verdict.words}{ahead}"
    for obstacle in verdict.obstacles[1:]:
        end = "" if obstacle.reason.endswith("”") else "."
        yield f"  {' ' * width}  also: {obstacle.reason}{end}"


def _place(place: Place, fits: bool) -> Iterator[str]:
    group = (
        f"{place.centre}'s {place.work_type} work is number {place.group_place} of {place.groups}"
        f" that wait for {place.resource_class}"
    )
    before = f"{place.ahead} of {place.waiting} waiting jobs come before it, by score; " if fits else ""
    yield f"Its place: {before}{group}."
    yield (
        f"  score {place.score:.3g} = urgency {place.urgency:.3g} (it waits {place.wait_s:.0f} s)"
        f" x weight {place.weight:g} ({place.work_type}) x balance {place.balance:.3g} (what {place.centre} gave and used)"
    )


def _run(run: Run) -> Iterator[str]:
    end = f" to {run.ended:%Y-%m-%d %H:%M:%S}" if run.ended is not None else ""
    yield f"  At {run.centre}, pilot {run.pilot}, from {run.started:%Y-%m-%d %H:%M:%S}{end} UTC."
    for sentence in run.why:
        yield f"  {sentence}"
