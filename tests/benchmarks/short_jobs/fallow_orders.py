"""At the desk: no-op container jobs through the client library.

Usage: python -m tests.benchmarks.short_jobs.fallow_orders DIGEST [FILE …]

The files go with each job.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

from tests.benchmarks.short_jobs.orders import serve
from tests.benchmarks.short_jobs.system import look_s

from fallow.client import connect
from fallow.queue import JobSpec, JobState
from fallow.queue.hub import open_queue


def main() -> None:
    """See the usage."""
    queue = open_queue(connect())
    files = tuple(map(Path, sys.argv[2:]))
    disk_mb = 32 + 2 * sum(file.stat().st_size for file in files) // 1_000_000

    def run(count: int) -> None:
        run = f"short-{secrets.token_hex(4)}"
        specs = [
            JobSpec(
                run=run, key=str(number), name=run, image=sys.argv[1], argv=("true",), directory=Path("/tmp"),
                memory_mb=256, disk_mb=disk_mb, walltime_s=60, input_files=files,
            )
            for number in range(count)
        ]  # fmt: skip
        queue.submit(specs)
        ended: dict[str, int | None] = {}
        while len(ended) < count:
            time.sleep(look_s(count - len(ended)))
            found = queue.status(run, ended=True).items()
            ended = {key: record.exit_code for key, record in found if record.state is JobState.FINISHED}
        if set(ended.values()) != {0}:
            raise RuntimeError(f"some jobs failed: {ended}")
        queue.remove(run=run)

    serve(run)


if __name__ == "__main__":
    main()
