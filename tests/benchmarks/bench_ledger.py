"""How fast the ledger takes in HTCondor's records, and what a balance costs when it has a million.

Usage: python -m tests.benchmarks.bench_ledger [--runs N] [--url URL]

Writes history files as HTCondor 25.14's shadows do (a whole job ad of 4 kB for each run), has the ledger read them, and asks
for balances and sums. Time to write the files does not count; `load` tells how busy the machine was with other work.
Without --url a new SQLite file is used.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, func, select, text
from tests.benchmarks.outcome import as_rows as table
from tests.benchmarks.outcome import conditions, tell

from fallow.ledger.messages import Key
from fallow.rules import default_text, parse_rules
from fallow_matcher.database import open_database, reading
from fallow_matcher.ledger import ingest, query, standings
from fallow_matcher.ledger.tables import RUN

TITLE = "The ledger with a million runs"
CENTRES = [f"centre{number:02}" for number in range(50)]
BATCH = 20_000
NOW = 1_795_000_000
PADDING = "".join(f'Attribute{number} = "{"x" * 40}"\n' for number in range(60))


def record(number: int, luck: random.Random) -> str:
    """One record of a run."""
    started = NOW - luck.randrange(30 * 86_400)
    wall_s = luck.randrange(30, 7200)
    return (
        f"{PADDING}ClusterId = {number}\nProcId = 0\n"
        f'GlobalJobId = "queue@hub.example.org#{number}.0#{started - 100}"\nNumJobMatches = 1\n'
        f'FallowUserCentre = "{luck.choice(CENTRES)}"\nAcctGroupUser = "user{luck.randrange(500)}"\n'
        f'FallowWorkType = "{luck.choice(("analysis", "production", "test", "urgent"))}"\nFallowWalltime = 7200\n'
        f'MachineAttrFallowCentre0 = "{luck.choice(CENTRES)}"\nMachineAttrFallowPilot0 = "pilot-{number // 8}"\n'
        f"MachineAttrCpus0 = {luck.choice((1, 2, 4, 8))}\nQDate = {started - 100}\nExitCode = 0\nExitBySignal = false\n"
        f"JobCurrentStartDate = {started}\nEpochWriteDate = {started + wall_s}\nRemoteUserCpu = {wall_s}.0\n"
        f'RemoteSysCpu = 1.0\n*** EPOCH ClusterId={number} ProcId=0 RunInstanceId=0 Owner="o" CurrentTime={NOW}\n'
    )


def database_bytes(engine: Engine) -> int:
    """How large the whole database is."""
    size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    if engine.dialect.name == "postgresql":
        size = "SELECT pg_database_size(current_database())"
    with reading(engine) as connection:
        return int(connection.execute(text(size)).scalar_one())


def typical_ms(call: Callable[[], object], times: int) -> float:
    """The median time of a call in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - begun))
    return median(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--url", help="The database; it should be empty.")
    options = parser.parse_args()
    about = conditions()
    rules = parse_rules(default_text())
    luck = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(options.url or f"sqlite:///{folder}/fallow.sqlite")
        spool = Path(folder) / "spool"
        spool.mkdir()
        taken_s = last_s = cpu_s = 0.0
        for first in range(0, options.runs, BATCH):
            history = spool / "epoch_history"
            count = min(BATCH, options.runs - first)
            history.write_text("".join(record(number, luck) for number in range(first, first + count)))
            size = history.stat().st_size
            begun, busy = time.perf_counter(), time.process_time()
            ingest(engine, rules, spool, None, NOW)
            last_s = time.perf_counter() - begun
            cpu_s += time.process_time() - busy
            taken_s += last_s
            for path in spool.iterdir():
                path.unlink()
        with reading(engine) as connection:
            stored = connection.execute(select(func.count()).select_from(RUN)).scalar_one()
        week = NOW - 7 * 86_400
        measured = {
            "runs": stored,
            "record_bytes": size // count,
            "database_bytes_per_run": database_bytes(engine) // stored,
            "ingest_per_s": round(stored / taken_s),
            "ingest_per_s_of_the_last": round(count / last_s),
            "ingest_per_cpu_s": round(stored / cpu_s),
            "balance_ms": round(typical_ms(lambda: standings(engine, NOW, rules), 50), 2),
            "usage_of_a_week_ms": round(
                typical_ms(lambda: query.sums(engine, [Key.CONSUMER, Key.PROVIDER], week, NOW), 3)
            ),
            "lines_of_a_centre_ms": round(
                typical_ms(lambda: query.lines(engine, CENTRES[0], week, NOW, limit=1000), 5), 1
            ),
        }
        engine.dispose()
    measured["database"] = engine.dialect.name
    rows = [{"what": name, "value": value} for name, value in measured.items()]
    tell("ledger", TITLE, about, {"rows": rows}, table)


if __name__ == "__main__":
    main()
