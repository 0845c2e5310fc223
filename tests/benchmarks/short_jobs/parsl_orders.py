"""On a node: no-op container jobs by Parsl's high-throughput executor.

Usage: python parsl_orders.py SLOTS COMMAND …
"""

import sys
import tempfile

import parsl
from orders import serve
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider


def call(argv: list[str]) -> int:
    """Run the command; its exit code."""
    import subprocess

    return subprocess.run(argv, check=False, stdin=subprocess.DEVNULL).returncode


def main() -> None:
    """See the usage."""
    slots, argv = int(sys.argv[1]), sys.argv[2:]
    executor = HighThroughputExecutor(
        label="node",
        address="127.0.0.1",
        max_workers_per_node=slots,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        encrypted=False,
    )
    config = Config(executors=[executor], run_dir=tempfile.mkdtemp(), usage_tracking=0)
    with parsl.load(config):
        app = parsl.python_app(call)

        def run(count: int) -> None:
            codes = {each.result() for each in [app(argv) for _ in range(count)]}
            if codes != {0}:
                raise RuntimeError(f"some jobs failed: {codes}")

        serve(run)


if __name__ == "__main__":
    main()
