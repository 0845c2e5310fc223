"""`fallow simulate`: what federating, or other rules, would bring each centre."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fallow.errors import NotAvailableError, UsageError

if TYPE_CHECKING:
    from fallow.rules import Rules
    from fallow_matcher.simulation.federation import Described
    from fallow_matcher.simulation.study import Progress, Study

POLICIES = ("isolated", "first come", "fair share", "home first", "fallow", "take back")
_file = click.Path(path_type=Path)


@click.command()
@click.argument("rules", type=_file, nargs=-1)
@click.option("--mine", type=_file, help="Your centre's jobs: the output of sacct -aXP.")
@click.option("--join", type=_file, help="Centres that might federate and what each would bring (TOML).")
@click.option(
    "--trace", type=_file, help="Jobs in the Standard Workload Format, gzipped or not, dealt to --centre."
)
@click.option(
    "--centre",
    "sizes",
    multiple=True,
    metavar="NAME=CORES",
    help="A centre and its cores, the one with most work first; once for each.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(POLICIES),
    help="What to compare; once for each. Default: all but `take back`.",
)
@click.option(
    "--cheater", metavar="CENTRE", help="Show what cheating would bring this centre under each set of rules."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of everything that is drawn."
)
@click.option("--html", type=_file, help="Write a report with plots to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def simulate(
    rules: tuple[Path, ...],
    mine: Path | None,
    join: Path | None,
    trace: Path | None,
    sizes: tuple[str, ...],
    policies: tuple[str, ...],
    cheater: str | None,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show what federating would bring each centre, under several policies and under each file of RULES.

    The work is that of --join, a file that describes the centres, or of --trace: its groups are dealt to the centres, the
    group with most work next to the centre that has least so far.

    \b
    fallow simulate --mine sacct.txt --join capacity.toml --html report.html
    fallow simulate rules.toml --trace LCG-2005-1.swf.gz --centre alder=1328 --centre birch=324
    """  # noqa: D301 - click wants the character
    from fallow.output import bars, show
    from fallow_matcher.simulation.report import answer, cheat_rows, page, rows

    work = _work(mine, join, trace, sizes, seed)
    jobs = len(work.workload.jobs)
    with bars(quiet=as_json) as told:
        progress = None if told is None else lambda name, done: told(name, done, jobs)
        found = _study(work, rules, policies, cheater, seed, progress)
    if html is not None:
        _write(html, page(found))
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    click.echo(found.load)
    for note in found.notes:
        click.echo(note)
    table = rows(found)
    show(table, list(table[0]), as_json=False)
    if found.cheats:
        table = cheat_rows(found)
        show(table, list(table[0]), as_json=False, title="What cheating would bring")
    for sentence in answer(found):
        click.echo(sentence)
    if html is not None:
        click.echo(f"The report is in {html}.")


def _work(
    mine: Path | None, join: Path | None, trace: Path | None, sizes: tuple[str, ...], seed: int
) -> Described:
    from fallow_matcher.simulation import federation, swf
    from fallow_matcher.simulation.workload import Workload, steady

    if (join is None) == (trace is None):
        raise UsageError(
            "Nothing says what to simulate." if join is None else "--join and --trace exclude each other.",
            remedy="Give --join with a file that describes the centres, or --trace with --centre.",
        )
    if join is not None:
        if sizes:
            raise UsageError("--centre goes with --trace.", remedy=f"Write the centres into {join}.")
        return federation.read(join, mine, seed)
    if mine is not None:
        raise UsageError(
            "--mine goes with --join.", remedy="Describe your centre and the others in a file for --join."
        )
    cores = dict(_size(each) for each in sizes)
    if not cores or len(cores) != len(sizes):
        raise UsageError(
            "A centre is named twice." if cores else "No centre is named.",
            remedy="Give --centre NAME=CORES once for each.",
        )
    assert trace is not None  # noqa: S101 - said above
    jobs = swf.deal(swf.read(trace), list(cores), "")
    return federation.Described(Workload(jobs, steady(cores)), "", [f"The jobs are those of {trace.name}."])


def _study(
    work: Described,
    rules: tuple[Path, ...],
    policies: tuple[str, ...],
    cheater: str | None,
    seed: int,
    progress: Progress | None,
) -> Study:
    from fallow.rules import default_text, parse_rules
    from fallow.rules.document import read_rules
    from fallow_matcher.simulation.study import Study, cheating, compare

    workload = work.workload
    if cheater is not None and cheater not in workload.centres:
        raise UsageError(
            f"--cheater {cheater}: there is no such centre.",
            remedy=f"Name one of {', '.join(workload.centres)}.",
        )
    default = parse_rules(default_text())
    documents: dict[str, Rules] = {str(path): parse_rules(read_rules(path)) for path in rules}
    found = compare(workload, policies or POLICIES[:-1], default, documents, progress)
    judged = {"fallow": default, **documents}
    cheats = [
        cheat
        for each in found
        if cheater is not None and each.policy in judged
        for cheat in cheating(workload, cheater, each, found[0], judged[each.policy], progress)
    ]
    units: dict[str, int] = {}
    for step in workload.capacity:
        name = f"{step.centre} {step.resource_class}"
        units[name] = max(step.units, units.get(name, 0))
    most = ", ".join(f"{name} {count}" for name, count in units.items() if count)
    return Study(
        load=f"{len(workload.jobs)} jobs on at most: {most}",
        notes=work.notes,
        seed=seed,
        mine=work.mine or None,
        policies=found,
        cheats=cheats,
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise NotAvailableError(
            f"Cannot write {path}: {error.strerror}.", remedy="Name another file."
        ) from error


def _size(said: str) -> tuple[str, int]:
    name, _, cores = said.partition("=")
    if not name or not cores.isdecimal() or int(cores) < 1:
        raise UsageError(f"--centre {said}: it is NAME=CORES.", remedy="For example --centre alder=128.")
    return name, int(cores)
