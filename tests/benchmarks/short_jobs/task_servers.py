"""HyperQueue, Parsl and Dask, from PyPI, as one of the centre's users starts them on a node that is his alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers import install_packages
from tests.benchmarks.short_jobs.system import CONTAINER, Helped, Place

HERE = Path(__file__).parent
PINS = HERE / "peers.txt"


def install(place: Place) -> None:
    """Put the packages where the node's Python finds them, once."""
    home = place.home / place.account / "peers"
    if home.exists():
        return
    install_packages(home, "-r", str(PINS))
    for file in HERE.glob("*_orders.py"):
        shutil.copy(file, home)
    shutil.copy(HERE / "orders.py", home)
    place.login.run(["chown", "-R", place.account, f"/home/{place.account}"])


@dataclass
class TaskServer(Helped):
    """A process on the node that has the workers and takes orders."""

    def command(self) -> list[str]:
        """The script of that name."""
        peers = f"/home/{self.place.account}/peers"
        script = f"{peers}/{self.name.lower()}_orders.py"
        argv = ["/usr/bin/python3", script, str(self.place.slots), *CONTAINER, "true"]
        env = {"PYTHONPATH": peers, "PATH": f"{peers}/bin:/usr/local/bin:/usr/bin:/bin"}
        return self.place.node.enter(argv, user=self.place.account, env=env)

    def start(self) -> None:
        """Start the process and its workers."""
        install(self.place)
        super().start()
