"""The reference page of `fallow simulate`, made from its options and models:

`python -m fallow_matcher.simulation.reference > docs/reference/simulate.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from fallow.documented import Documented
from fallow.reference import tables
from fallow_matcher.simulation.command import simulate
from fallow_matcher.simulation.federation import Federation
from fallow_matcher.simulation.metrics import Comparison, Figures
from fallow_matcher.simulation.study import BUILT_IN, Cheat

HEAD = """# fallow simulate

For directors and admins of centres who wonder what federating would bring, and for who votes on rules. Written by
`python -m fallow_matcher.simulation.reference`; change the code, not this page. [How it is simulated, and how far to trust
it](../explanation/simulation.md).

    sacct -aXP -S 2026-10-01 -E 2026-11-01 \\
        --format=JobID,Submit,Start,ElapsedRaw,TimelimitRaw,AllocCPUS,AllocTRES,State > sacct.txt
    fallow simulate --mine sacct.txt --join capacity.toml --html report.html

It runs on any machine with `fallow-matcher`, needs no hub and sends nothing anywhere; `pip install
'fallow-matcher[report]'` brings what draws the report. The dump needs no names of users or projects: `Submit`, `ElapsedRaw`
and `AllocCPUS` are enough, in any order. A job's moments are taken as UTC. Jobs without a time limit ask for what they
took. GPUs are counted by their model in `AllocTRES`. Lines of steps and of jobs that did not run are left out and counted;
any other line that sacct would not write is refused with its number, and so is any in a trace.

A `capacity.toml` with two centres, of which the other's work is not known:

```toml
mine = "alder"

[centres.alder]
cores = 512
gpus = { a100 = 8 }
local = [{ from_h = 8, until_h = 18, cores = 64 }]

[centres.birch]
cores = 256
pilots = { cores = 16, startup_s = 120, walltime_s = 86400 }
```

## Options

"""

FIGURES = """
## Figures

With `--json` everything is printed: `load` and `notes` in words, `seed`, `mine`, `policies` (without a federation first) and
`cheats`. The same input and seed give the same output to the last digit.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "".join(_parts())


def _parts() -> Iterator[str]:
    yield HEAD
    yield "| option | meaning |\n|---|---|\n| `RULES …` | Files of rules to compare as well. |\n"
    for option in simulate.params:
        if isinstance(option, click.Option):
            name = option.opts[0] + (f" {option.metavar}" if option.metavar else "")
            yield f"| `{name}` | {option.help} |\n"
    yield "\n## Policies\n\n| name | what |\n|---|---|\n"
    for policy, what in BUILT_IN.items():
        yield f"| `{policy}` | {what} |\n"
    yield "\n# The file for --join\n"
    yield tables(Federation).replace("\n## At the top\n", "\n## At the top of the file\n")
    yield FIGURES
    for title, model in (
        ("Each policy", Comparison),
        ("Each centre, and all", Figures),
        ("Each attempt to cheat", Cheat),
    ):
        yield f"\n### {title}\n\n| name | what |\n|---|---|\n"
        yield from _fields(model)


def _fields(model: type[Documented]) -> Iterator[str]:
    told = model.meanings()
    for name in model.model_fields:
        yield f"| `{name}` | {told.get(name, name.replace('_', ' '))} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
