"""On a node: no-op container jobs by HyperQueue, a server and a worker with all slots.

Usage: python hyperqueue_orders.py SLOTS COMMAND …
"""

import sys
import tempfile

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
from orders import serve


def main() -> None:
    """See the usage."""
    slots, argv = int(sys.argv[1]), sys.argv[2:]
    with LocalCluster(tempfile.mkdtemp(), WorkerConfig(cores=slots)) as cluster:
        client = cluster.client()

        def run(count: int) -> None:
            job = Job(default_workdir="/tmp")
            for _ in range(count):
                job.program(argv, stdout=None, stderr=None)
            client.wait_for_jobs([client.submit(job)])

        serve(run)


if __name__ == "__main__":
    main()
