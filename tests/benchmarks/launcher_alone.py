"""What `fallow pilot run` does, a few times, in a process that holds nothing else; see `bench_launcher`.

Usage: python -m tests.benchmarks.launcher_alone POLICY CYCLES
"""

import os
import sys
import time
from pathlib import Path

import fallow.cli  # noqa: F401 - the command imports it
import fallow_pilots.commands.launch  # noqa: F401 - so does `fallow pilot run`
from fallow_pilots.centre import Centre


def cycle(centre: Centre) -> None:
    """A cycle but for the hub; nothing of what was seen outlives it, as in the launcher's own."""
    view = centre.launcher.look()
    centre.launcher.offer(view, centre.launcher.decide(view, centre.credentials.remembered()), 60)


def main() -> None:
    """Say how long each cycle took, on the clock and of a processor, and what the process held."""
    centre = Centre(Path(sys.argv[1]))
    centre.launcher.cycle(60)  # waits for the hub, which is away: it counts for the memory only
    for _ in range(int(sys.argv[2])):
        begun, worked = time.perf_counter(), sum(os.times()[:4])
        cycle(centre)
        sys.stdout.write(f"cycle {time.perf_counter() - begun:.3f} {sum(os.times()[:4]) - worked:.3f}\n")
    sys.stdout.write(Path("/proc/self/status").read_text())


if __name__ == "__main__":
    main()
