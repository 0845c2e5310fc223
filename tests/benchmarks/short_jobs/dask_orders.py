"""On a node: no-op container jobs by Dask's distributed scheduler, one worker with a thread for each slot.

Usage: python dask_orders.py SLOTS COMMAND …
"""

import subprocess
import sys

from distributed import Client, LocalCluster
from orders import serve


def call(argv: list[str], number: int) -> int:
    """Run the command; its exit code. Dask takes calls with the same arguments for one, so each has a number."""
    return subprocess.run(argv, check=False, stdin=subprocess.DEVNULL).returncode


def main() -> None:
    """See the usage."""
    slots, argv = int(sys.argv[1]), sys.argv[2:]
    with (
        LocalCluster(n_workers=1, threads_per_worker=slots, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def run(count: int) -> None:
            tasks = client.map(lambda number: call(argv, number), range(count), pure=False)
            codes = set(client.gather(tasks))
            if codes != {0}:
                raise RuntimeError(f"some jobs failed: {codes}")

        serve(run)


if __name__ == "__main__":
    main()
