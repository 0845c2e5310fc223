"""Runs the benchmarks one after another: `python -m tests.benchmarks [NAME …]`; each prints what it measured.

Without names all are run but those that take long and back one page of the docs, or one goal of one part: these are run by
name.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BY_NAME = {
    "bulk", "campaign", "centres", "enforcement", "growth", "ledger", "production", "profiles", "simulation", "startup",
    "tuning",
}  # fmt: skip
SYSTEMS = ("Fallow", "HTCondor", "Slurm", "HyperQueue", "Parsl", "Dask")
BRIEF = {
    "scale": ("--work", "100"),
    "short_jobs": ("--jobs", "20", "--chain", "6", "--only", *SYSTEMS),
    "snakemake": ("--workflows", "second", "--rules", "12"),
    "staging": ("2",),
    "tokens": ("--seconds", "0.5"),
}
"""What is asked for less in a run of all, so that it takes no more than twenty minutes."""


def main() -> int:
    """Run those that are named, or all; 1 where one failed or missed its goal."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    wanted = sys.argv[1:] or [name for name in known if name not in BY_NAME]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(known)}.", file=sys.stderr)
        return 2
    failed = []
    for name in wanted:
        print(f"== {name}", flush=True)
        begun = time.monotonic()
        brief = () if sys.argv[1:] else BRIEF.get(name, ())
        argv = [sys.executable, "-m", f"tests.benchmarks.bench_{name}", *brief]
        code = subprocess.run(argv, cwd=HERE.parents[1], check=False).returncode
        failed += [name] * (code != 0)
        print(f"== {name}: {time.monotonic() - begun:.0f} s, exit code {code}", flush=True)
    if failed:
        print(f"Failed, or missed a goal: {', '.join(failed)}.", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
