"""Which hosts a declaration makes, with which roots, mounts and accounts. Nothing is started here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fallow_testbed import cvmfs
from fallow_testbed.host import Host, Mount, Root
from fallow_testbed.spec import Centre, Federation

CENTRE_ACCOUNTS = ("pilot", "local")
"""Accounts of every centre: `pilot` runs the launcher and its pilots, `local` is one of the centre's own users."""

HUB_ACCOUNTS = ("gateway", "issuer", "s3")
"""Accounts of the hub beside `condor`."""


@dataclass(frozen=True)
class Layout:
    """All hosts of one testbed.

    Args:
        spec: The declaration.
        directory: Where the testbed keeps everything; one testbed per directory.
        layers: Root file system layers of every host but desk and switch, the uppermost first.
    """

    spec: Federation
    directory: Path
    layers: tuple[Path, ...]

    @property
    def hosts_directory(self) -> Path:
        """The directory with one directory per host."""
        return self.directory / "hosts"

    def home(self, centre: str) -> Path:
        """The centre's shared `/home`, as the machine sees it."""
        return self.directory / "shared" / centre / "home"

    def switch(self) -> Host:
        """The host that has the bridge."""
        return Host("switch", self.hosts_directory / "switch", root="machine")

    def desk(self) -> Host:
        """Where the people sit: the machine's own files, the testbed's network."""
        return Host("desk", self.hosts_directory / "desk", root="machine")

    def hub(self) -> Host:
        """The hub."""
        return Host("hub", self.hosts_directory / "hub", self.layers)

    def second_hub(self) -> Host:
        """The second hub, where there is one."""
        return Host("hub2", self.hosts_directory / "hub2", self.layers)

    def login(self, centre: str) -> Host:
        """A centre's login host."""
        return Host(centre, self.hosts_directory / centre, self.layers, mounts=(self._shared_home(centre),))

    def edge(self, centre: str) -> Host:
        """The one host of a closed centre that gets out."""
        return Host(f"{centre}-edge", self.hosts_directory / f"{centre}-edge", self.layers)

    def nodes(self, centre: str) -> list[Host]:
        """A centre's compute nodes."""
        declared = self.spec.centres[centre]
        return [self._node(centre, declared, f"{centre}-{index}") for index in range(1, declared.nodes + 1)]

    def centre_hosts(self, centre: str) -> list[Host]:
        """A centre's login host and nodes."""
        return [self.login(centre), *self.nodes(centre)]

    def all(self) -> dict[str, Host]:
        """Every host by name, the switch included."""
        found = [self.switch(), self.desk(), self.hub()]
        if self.spec.second_hub:
            found.append(self.second_hub())
        for centre in self.spec.centres:
            found += self.centre_hosts(centre)
            if self.spec.centres[centre].edge != "none":
                found.append(self.edge(centre))
        return {host.name: host for host in found}

    def _node(self, centre: str, declared: Centre, name: str) -> Host:
        mounts = [self._shared_home(centre)]
        if declared.scratch_mb:
            mounts.append(Mount("tmpfs", "scratch", "/scratch", f"mode=1777,size={declared.scratch_mb}m"))
        if declared.cvmfs == "mounted":
            mounts.append(cvmfs.mount(self.directory / "shared" / centre / "cvmfs"))
        root = self.hosts_directory / name
        how: Root = "pivot" if declared.user_namespaces else "chroot"
        return Host(name, root, self.layers, root=how, fuse=declared.fuse, mounts=tuple(mounts))

    def _shared_home(self, centre: str) -> Mount:
        return Mount("bind", str(self.home(centre)), "/home")
