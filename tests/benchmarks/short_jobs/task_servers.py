"""HyperQueue, Parsl and Dask, from PyPI, as one of the centre's users starts them on a node that is his alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.short_jobs.system import CONTAINER, Helper, Place, until

HERE = Path(__file__).parent
PINS = HERE / "peers.txt"


def install(place: Place) -> None:
    """Put the packages where the node's Python finds them."""
    home = place.home / place.account / "peers"
    if (home / "complete").exists():
        return
    shutil.rmtree(home, ignore_errors=True)
    target = ["--target", str(home), "--python-version", "3.13", "--only-binary", ":all:", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *target, "-r", str(PINS)], check=True)
    for file in ("orders.py", "parsl_orders.py", "dask_orders.py"):
        shutil.copy(HERE / file, home / file)
    (home / "complete").touch()
    place.login.run(["chown", "-R", place.account, f"/home/{place.account}"])


@dataclass
class HyperQueue:
    """A server and a worker on the node; `hq submit --wait` tells the end."""

    place: Place
    name: str = "HyperQueue"
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start server and worker."""
        install(self.place)
        self._running.append(self._spawn("server", "start"))
        until(lambda: self._hq("server", "info", check=False).returncode == 0, "HyperQueue's server")
        self._running.append(
            self._spawn("worker", "start", "--cpus", str(self.place.slots), "--idle-timeout", "1h")
        )
        self.batch(2 * self.place.slots)

    def batch(self, count: int) -> float:
        """One array."""
        begun = time.monotonic()
        quiet = ("--stdout", "none", "--stderr", "none", "--cpus", "1")
        self._hq("submit", "--wait", "--array", f"1-{count}", *quiet, "--", *CONTAINER, "true")
        return time.monotonic() - begun

    def one(self) -> float:
        """An array of one."""
        return self.batch(1)

    def stop(self) -> None:
        """End the server; the worker goes with it."""
        self._hq("server", "stop", check=False)
        for process in self._running:
            process.wait(timeout=60)
        self._running.clear()

    def _spawn(self, *words: str) -> subprocess.Popen[bytes]:
        return self.place.node.spawn(self._argv(*words), log="/tmp/hq.log", user=self.place.account)

    def _hq(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.place.node.run(self._argv(*words), user=self.place.account, check=check, timeout_s=900)

    def _argv(self, *words: str) -> list[str]:
        home = f"/home/{self.place.account}"
        return [f"{home}/peers/bin/hq", "--server-dir", f"{home}/hq", *words]


@dataclass
class Orders:
    """Parsl or Dask: a process on the node that has the workers and takes orders."""

    place: Place
    name: str
    script: str
    directory: Path
    _helpers: list[Helper] = field(default_factory=list)

    def start(self) -> None:
        """Start the process and its workers."""
        install(self.place)
        peers = f"/home/{self.place.account}/peers"
        argv = ["/usr/bin/python3", f"{peers}/{self.script}", str(self.place.slots), *CONTAINER, "true"]
        env = {"PYTHONPATH": peers, "PATH": f"{peers}/bin:/usr/local/bin:/usr/bin:/bin"}
        line = self.place.node.enter(argv, user=self.place.account, env=env)
        self._helpers.append(Helper.of(line, self.directory / f"{self.name}.log"))
        self.batch(2 * self.place.slots)

    def batch(self, count: int) -> float:
        """So many tasks; their results are waited for."""
        return self._helpers[-1].ask(count)

    def one(self) -> float:
        """One task."""
        return self.batch(1)

    def stop(self) -> None:
        """End the process."""
        if self._helpers:
            self._helpers.pop().end()
