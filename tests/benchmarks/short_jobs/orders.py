"""The loop of a helper: reads how many jobs to run, runs them, tells how long it took. It needs no packages."""

import sys
import time
from collections.abc import Callable


def serve(run: Callable[[int], object]) -> None:
    """Answer `took 0` when ready, then each number on stdin with the seconds that so many jobs took.

    Other lines are what a server says of itself.
    """
    print("took 0", flush=True)
    for line in sys.stdin:
        begun = time.monotonic()
        run(int(line))
        print(f"took {time.monotonic() - begun}", flush=True)
