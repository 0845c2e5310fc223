"""A federation of its own with centres that lack something, and what befalls whoever carries their connections."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.conftest import inside, published
from tests.integration.pilots.sites import Site
from tests.integration.pilots.work import Batch, submitted

from fallow_testbed import edge, people
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif
from fallow_testbed.progress import Progress
from fallow_testbed.spec import Centre as Declared
from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

LOOK = """
import pathlib, socket, ssl, urllib.request
unchecked = ssl._create_unverified_context()
assert urllib.request.urlopen("https://hub:8443/healthz", context=unchecked).status == 200
socket.create_connection(("hub", 8333), 10).close()
for place in (("oak", 9620), ("elm", 6817), ("10.77.2.1", 22), ("desk", 22), ("hub", 22), ("1.1.1.1", 53)):
    try:
        socket.create_connection(place, 3)
    except OSError:
        continue
    raise SystemExit(f"{place} was reached")
assert not pathlib.Path("/home/pilot").exists()
"""
"""A job that reaches gateway and store, and fails where it reaches anything else."""


@dataclass
class Centre:
    """One of the centres, and jobs for it."""

    bed: Testbed
    image: str
    name: str
    person: str

    def at(self, person: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function at the desk, as that person."""
        return inside(
            self.bed.host("desk"), people.environment(self.bed.layout(), person), function, *arguments
        )

    @property
    def site(self) -> Site:
        """The centre."""
        return Site(self.name, self.bed.layout())

    @property
    def declared(self) -> Declared:
        """What it lacks."""
        return self.bed.layout().spec.centres[self.name]

    @property
    def node(self) -> Host:
        """Its first node."""
        return self.bed.host(f"{self.name}-1")

    @property
    def edge(self) -> Host:
        """The host that gets out."""
        return self.bed.host(f"{self.name}-edge")

    @property
    def profile(self) -> str:
        """The profile of its policy."""
        network = tomllib.loads(self.site.policy.read_text())["network"]
        return str(network.get("profile", "direct"))

    def submit(self, jobs: dict[str, tuple[str, ...]], **values: Any) -> Batch:
        """Submit jobs."""
        run = f"awkward-{secrets.token_hex(4)}"
        specs = [
            {"key": name, "name": name, "image": self.image, "argv": argv, "centre": self.name, **values}
            for name, argv in jobs.items()
        ]
        ids = self.at(self.person, submitted, run, specs)
        return Batch(self.at, run, dict(zip(jobs, ids, strict=True)), self.person)


@contextmanager
def federation(
    place: Path, layers: tuple[Path, ...], declaration: str, *centres: tuple[str, str]
) -> Iterator[list[Centre]]:
    """A testbed of its own that has an image: its centres, each by name and person."""
    file = place / "federation.toml"
    file.write_text(declaration)
    bed = Testbed(place / "testbed")
    bed.up(file, layers, Progress())
    try:
        packed = ensure_sif("analysis")
        digest = f"sha256:{packed.sha256}"
        found = [Centre(bed, digest, *each) for each in centres]
        found[0].at(found[0].person, published, packed.sif, digest)
        yield found
    finally:
        bed.down()


def process_of(host: Host, *pattern: str) -> int:
    """The process that pgrep(1) finds; 0 where there is none."""
    said = host.run(["pgrep", *pattern], check=False).stdout.split()
    return int(said[0]) if said else 0


def kill(host: Host, what: str, *pattern: str) -> None:
    """End a process with SIGKILL, and wait until another one has taken its place."""
    before = process_of(host, *pattern)
    host.run(["kill", "-9", str(before)])
    wait_until(lambda: process_of(host, *pattern) not in (0, before), f"another {what}", 60)


def kill_relay(centre: Centre) -> None:
    """Kill the relay on the login host."""
    kill(centre.site.login, "relay, started by the launcher", "-f", "fallow_pilots[.]relay")


def kill_way(centre: Centre) -> None:
    """Kill the process that carries on the first node."""
    kill(centre.node, "process that carries, started by the pilot", "-x", "fallow-way")


def kill_connection(centre: Centre) -> None:
    """Kill the ssh connection that leads the login host out."""
    kill(centre.edge, "connection, made by `fallow pilot attach`", "-x", "ssh")


def kill_proxy(centre: Centre) -> None:
    """Kill the site's proxy; its admin starts it again."""
    centre.edge.run(["pkill", "-9", "-x", "tinyproxy"])
    edge.start_proxy(centre.edge)
