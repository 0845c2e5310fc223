"""`fallow simulate`: rules on a recorded trace, on a machine of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from fallow.errors import UsageError
from fallow.rules import DEFAULT

_file = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_file)
@click.option(
    "--trace", required=True, type=_file, help="Trace in the Standard Workload Format, gzipped or not."
)
@click.option(
    "--centre",
    "sizes",
    required=True,
    multiple=True,
    metavar="NAME=CORES",
    help="A centre and its cores, the one with most work first; once for each.",
)
@click.option(
    "--against",
    type=_file,
    default=DEFAULT,
    help="Rules to compare with; default: those of a new federation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def simulate(file: Path, trace: Path, sizes: tuple[str, ...], against: Path, as_json: bool) -> None:
    """Show what the rules in FILE would change for each centre on the jobs of a trace.

    The trace's groups are dealt to the centres: the group with most work next to the centre that has least so far.
    """
    from fallow.rules.display import comparison, show_rows
    from fallow.rules.document import parse_rules, read_rules
    from fallow.rules.messages import Simulation
    from fallow_matcher.simulation import swf
    from fallow_matcher.simulation.compare import under
    from fallow_matcher.simulation.workload import Workload, steady

    documents = [read_rules(against), read_rules(file)]
    cores = dict(_size(each) for each in sizes)
    if len(cores) != len(sizes):
        raise UsageError("A centre is named twice.", remedy="Give each --centre once.")
    work_type = parse_rules(documents[0]).default_work_type
    workload = Workload(swf.deal(swf.read(trace), list(cores), work_type), steady(cores))
    found = Simulation(
        load=f"{len(workload.jobs)} jobs of {trace.name} on {', '.join(sizes)} cores",
        version=0,
        current=under(documents[0], workload),
        proposed=under(documents[1], workload),
    )
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    click.echo(found.load)
    show_rows(comparison(found))


def _size(said: str) -> tuple[str, int]:
    name, _, cores = said.partition("=")
    if not name or not cores.isdecimal() or int(cores) < 1:
        raise UsageError(f"--centre {said}: it is NAME=CORES.", remedy="For example --centre alder=128.")
    return name, int(cores)
