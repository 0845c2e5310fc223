"""The declaration of a testbed: which hosts play which centres. One small TOML file, validated here."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from fallow.settings import Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,14}$")]

NETWORK_BITS = 16
HUB_ADDRESS = IPv4Address("10.77.0.1")
DESK_ADDRESS = IPv4Address("10.77.0.2")
SECOND_HUB_ADDRESS = IPv4Address("10.77.0.3")


class PilotPolicy(Settings):
    """What a centre gives: the part of its launcher's policy that a testbed varies."""

    max_pilots: int = Field(default=2, ge=0, le=64)
    """Pilots that may run at once."""
    cores: int = Field(default=2, ge=1, le=64)
    """Cores of one pilot."""
    memory_mb: int = Field(default=2048, ge=256)
    """Memory of one pilot."""
    walltime_s: int = Field(default=7200, ge=60)
    """How long a pilot may run."""
    idle_exit_s: int = Field(default=60, ge=1)
    """A pilot without work leaves after this time."""


class Centre(Settings):
    """One centre: a login host that runs its batch system, and compute nodes that share `/home` with it."""

    batch: Literal["slurm", "htcondor"] = "slurm"
    """The centre's batch system."""
    nodes: int = Field(default=1, ge=1, le=9)
    """Compute nodes, each a host of its own, named `<centre>-1`, `<centre>-2`, …"""
    cores: int = Field(default=4, ge=1, le=256)
    """Cores that each node declares to the batch system; more than the machine has is allowed."""
    memory_mb: int = Field(default=6000, ge=512)
    """Memory that each node declares to the batch system."""
    nodes_reach: Literal["everything", "login", "nothing"] = "everything"
    """What compute nodes reach: all that the centre's `edge` lets them; `login`: their login host only; `nothing`: not even
    that, but for the ports that Slurm's own daemons need. They share `/home` all the same."""
    edge: Literal["none", "proxy", "ssh"] = "none"
    """With another value nothing of the centre gets out but one more host, `<centre>-edge`: by a `proxy` there, or for a
    person there who reaches the login host by `ssh`, while that one dials nothing."""
    scratch_mb: int = Field(default=0, ge=0)
    """Size of each node's own `/scratch`; 0 leaves it on the root overlay, without a limit."""
    user_namespaces: bool = True
    """Whether ordinary users may create user namespaces on the compute nodes."""
    fuse: bool = True
    """Whether compute nodes have `/dev/fuse`."""
    cvmfs: Literal["none", "mounted", "hangs"] = "none"
    """Whether compute nodes have the CVMFS repository `software.eessi.io`, or one of that name which never answers; the
    centre's policy promises it."""
    pilots: PilotPolicy = PilotPolicy()
    """What the centre gives to the federation."""

    @model_validator(mode="after")
    def _nothing_goes_with_slurm(self) -> Centre:
        if self.nodes_reach == "nothing" and self.batch != "slurm":
            raise ValueError(
                f"nodes_reach = nothing needs batch = slurm, not {self.batch}: its ports are known"
            )
        if self.edge == "ssh" and self.nodes_reach == "everything":
            raise ValueError("edge = ssh contradicts nodes_reach = everything: say login, or nothing")
        return self


class User(Settings):
    """A person who submits from the desk."""

    centre: Name
    """The person's own centre, as `wlcg.groups` says."""
    role: Literal["user", "manager"] = "user"
    """A manager may also submit work of type `production`."""


class Federation(Settings):
    """A whole federation on one machine."""

    trust_domain: str = Field(default="fallow.test", pattern=r"^[a-z0-9.-]+$")
    """HTCondor's trust domain, the part after `@` of every identity."""
    centres: dict[Name, Centre] = Field(min_length=1, max_length=50)
    """The centres by name."""
    users: dict[Name, User] = Field(default_factory=dict)
    """The people at the desk."""
    second_hub: bool = False
    """Whether there is a second hub, `hub2`. People and centres name it first, so that it may be lost: store and issuer are
    on the first, the database of both is at the desk."""

    @model_validator(mode="after")
    def _centres_exist(self) -> Federation:
        taken = {"hub", "hub2", "desk", "switch"} & set(self.centres)
        if taken:
            raise ValueError(
                f"a centre cannot be called {sorted(taken)[0]!r}: a host of that name exists already"
            )
        for name, user in self.users.items():
            if user.centre not in self.centres:
                raise ValueError(f"user {name!r} belongs to centre {user.centre!r}, which is not declared")
        return self

    def addresses(self) -> dict[str, IPv4Address]:
        """Every host's name and address on the one flat network."""
        found = {"hub": HUB_ADDRESS, "desk": DESK_ADDRESS}
        if self.second_hub:
            found["hub2"] = SECOND_HUB_ADDRESS
        for index, (name, centre) in enumerate(self.centres.items(), start=1):
            base = IPv4Address(int(HUB_ADDRESS) - 1 + 256 * index)
            found[name] = base + 1
            if centre.edge != "none":
                found[f"{name}-edge"] = base + 2
            for node in range(1, centre.nodes + 1):
                found[f"{name}-{node}"] = base + 10 + node
        return found

    def reach(self, host: str) -> list[IPv4Address] | None:
        """The addresses that a host has routes to; None: all."""
        name = self.centre_of(host)
        if not name or host == f"{name}-edge":
            return None
        declared, addresses = self.centres[name], self.addresses()
        if host != name and declared.nodes_reach != "everything":
            return [addresses[name]]
        if declared.edge == "none":
            return None
        return [
            address for other, address in addresses.items() if self.centre_of(other) == name and other != host
        ]

    def centre_of(self, host: str) -> str:
        """The centre that a login host or node belongs to; empty for hub and desk."""
        name = host.partition("-")[0]
        return name if name in self.centres else ""


DEFAULT = Path(__file__).parent / "demo.toml"
"""The declaration that is used when none is named: the demo's federation."""
