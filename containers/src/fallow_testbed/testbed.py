"""A testbed as a whole: up, down, status. Every step can be killed at any point and run again."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallow.errors import FallowError, NotAvailableError, UsageError
from fallow.settings import load
from fallow_testbed import centre, cvmfs, files, hub, network, people, pool, slurm
from fallow_testbed.host import Host, holders, kill_holders
from fallow_testbed.layout import CENTRE_ACCOUNTS, HUB_ACCOUNTS, Layout
from fallow_testbed.progress import Progress
from fallow_testbed.spec import Centre, Federation

PROGRAMS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "setpriv": "util-linux",
}
"""Programs of the machine that a testbed needs, with the Debian package of each."""

ROLES = {"": "login", "-edge": "edge"}
"""What a host is, by what its name adds to that of its centre; the others are nodes."""

SYSTEMS = {"slurm": slurm, "htcondor": pool}
"""The batch systems that a centre can have."""


def state_directory(name: str) -> Path:
    """Where the testbed called `name` lives: below `$FALLOW_TESTBEDS`, else below the state directory of the account."""
    if not name.isidentifier():
        raise UsageError(f"{name!r} is no name for a testbed.", remedy="Use letters, digits and underscores.")
    base = os.environ.get("FALLOW_TESTBEDS")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return (Path(base) if base else Path(state) / "fallow" / "testbeds") / name


@dataclass(frozen=True)
class Testbed:
    """One federation on this machine, living in one directory."""

    __test__ = False  # its name is no invitation to pytest

    directory: Path

    def layout(self, layers: tuple[Path, ...] | None = None) -> Layout:
        """The hosts as declared when the testbed was brought up."""
        declared = self.directory / "federation.toml"
        if not declared.exists():
            raise NotAvailableError(
                f"There is no testbed in {self.directory}.", remedy="Start one: `fallow testbed up`."
            )
        kept = self.directory / "layers"
        found = layers if layers is not None else tuple(Path(line) for line in kept.read_text().splitlines())
        return Layout(load(Federation, declared), self.directory, found)

    def host(self, name: str) -> Host:
        """One host by name."""
        hosts = self.layout().all()
        if name not in hosts:
            raise UsageError(
                f"The testbed has no host {name!r}.", remedy=f"It has {', '.join(sorted(hosts))}."
            )
        return hosts[name]

    def up(
        self, declaration: Path, layers: tuple[Path, ...], progress: Progress, *, keep_failed: bool = False
    ) -> Layout:
        """Start everything anew from `declaration`; what an earlier run left is removed first.

        Args:
            declaration: The federation's TOML file.
            layers: Root file system layers, the uppermost first.
            progress: Where the steps are shown.
            keep_failed: Leave what did start running when something fails, to look at it.

        Raises:
            FallowError: Something is missing or failed; nothing is left running.
        """
        check_machine()
        load(Federation, declaration)
        with self._locked():
            self._remove()
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / "layers").write_text("".join(f"{layer}\n" for layer in layers))
            shutil.copyfile(declaration, self.directory / "federation.toml")
            layout = self.layout()
            try:
                self._start(layout, progress)
            except BaseException:
                if not keep_failed:
                    self._kill()
                raise
        return layout

    def down(self) -> None:
        """End every process of the testbed and delete its files; does nothing where there is none."""
        if not self.directory.exists() and not holders(self.directory / "hosts"):
            return
        with self._locked():
            self._remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_node(self, name: str) -> None:
        """Start a compute node again that was killed, as after a loss of power: what was on its disk is there.

        Raises:
            FallowError: It does not start.
        """
        layout, node = self.layout(), self.host(name)
        node.start()
        _connect(layout, name)
        _start_node(layout.spec.centres[layout.spec.centre_of(name)], node)

    def status(self) -> list[dict[str, Any]]:
        """One row per host: name, role, address, whether it runs, its first process and the number of processes."""
        layout = self.layout()
        rows = []
        for name, address in layout.spec.addresses().items():
            host = layout.all()[name]
            running = name in holders(layout.hosts_directory)
            centre_name = layout.spec.centre_of(name)
            role = name if not centre_name else ROLES.get(name[len(centre_name) :], "node")
            count = len(host.run(["ps", "-e", "-o", "pid="]).stdout.split()) - 1 if running else 0
            rows.append({
                "host": name, "role": role, "centre": centre_name, "address": str(address),
                "running": running, "pid": host.pid() if running else None, "processes": count,
            })  # fmt: skip
        return rows

    def _start(self, layout: Layout, progress: Progress) -> None:
        spec, hosts = layout.spec, layout.all()
        with progress.step(f"start {len(hosts) - 1} hosts and their network"):
            self._prepare(layout)
            _parallel(lambda host: host.start(), hosts.values())
            network.build_switch(hosts["switch"])
            for name in spec.addresses():
                _connect(layout, name)
        with progress.step("start the hub (S3, issuer, HTCondor, gateway) and every centre's batch system"):
            _parallel(
                lambda start: start(),
                [lambda: hub.start(layout), *(_batch_system(layout, name) for name in spec.centres)],
            )
        people.prepare(layout)
        with progress.step("start the launcher of every centre"):
            _parallel(lambda name: centre.start(layout, name), spec.centres)

    def _prepare(self, layout: Layout) -> None:
        addresses = files.hosts_file(layout.spec.addresses())
        for host in layout.all().values():
            files.write(host, "/etc/hosts", addresses)
            if host.root != "machine":
                files.write(host, "/etc/resolv.conf", "")
        files.add_accounts(layout.hub(), HUB_ACCOUNTS)
        files.make_home(layout.hub().upper / "home", HUB_ACCOUNTS)
        for name, declared in layout.spec.centres.items():
            files.make_home(layout.home(name), CENTRE_ACCOUNTS)
            key = secrets.token_hex(64)
            for host in layout.centre_hosts(name):
                files.add_accounts(host, CENTRE_ACCOUNTS)
                files.make_scratch(host)
                SYSTEMS[declared.batch].prepare(host, name, declared, key)
            if declared.cvmfs == "mounted":
                cvmfs.make(layout.directory / "shared" / name / "cvmfs")
            if declared.edge != "none":
                files.add_accounts(layout.edge(name), CENTRE_ACCOUNTS)
                files.make_home(layout.edge(name).upper / "home", CENTRE_ACCOUNTS)

    def _kill(self) -> None:
        kill_holders([pid for pids in holders(self.directory / "hosts").values() for pid in pids])

    def _remove(self) -> None:
        self._kill()
        for part in ("hosts", "shared", "people"):
            shutil.rmtree(self.directory / part, ignore_errors=True)
        for part in ("federation.toml", "layers"):
            (self.directory / part).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.directory.with_suffix(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FallowError(
                    f"Another command is changing the testbed in {self.directory}.",
                    remedy="Wait for it.",
                    retryable=True,
                ) from error
            yield


def check_machine() -> None:
    """Say what this machine lacks for a testbed.

    Raises:
        NotAvailableError: It is not run as root, or a program is missing.
    """
    if os.geteuid() != 0:
        raise NotAvailableError(
            "A testbed needs root: it makes namespaces and mounts.", remedy="Run it with sudo."
        )
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise NotAvailableError(
                f"The program `{program}` is missing.", remedy=f"Install it: apt-get install {package}"
            )


def _batch_system(layout: Layout, name: str) -> Callable[[], None]:
    def start() -> None:
        declared = layout.spec.centres[name]
        system = SYSTEMS[declared.batch]
        system.start_controller(layout.login(name))
        for node in layout.nodes(name):
            _start_node(declared, node)
        system.wait_for_nodes(layout.login(name), declared)

    return start


def _start_node(declared: Centre, node: Host) -> None:
    if declared.cvmfs == "hangs":
        cvmfs.hang(node)
    SYSTEMS[declared.batch].start_node(node)


def _connect(layout: Layout, name: str) -> None:
    """Give a started host its network, and what its centre forbids there."""
    spec, host, addresses = layout.spec, layout.all()[name], layout.spec.addresses()
    network.plug_in(layout.switch(), host, addresses[name], spec.reach(name))
    centre_name = spec.centre_of(name)
    if not centre_name:
        return
    declared = spec.centres[centre_name]
    if name == centre_name and declared.edge == "ssh":
        network.shut(host, addresses[f"{name}-edge"])
    if host in layout.nodes(centre_name) and declared.nodes_reach == "nothing":
        network.close(host, outgoing=slurm.CONTROLLER_PORT, incoming=slurm.NODE_PORT)


def _parallel(call: Callable[[Any], Any], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(call, item) for item in items]:
            done.result()
