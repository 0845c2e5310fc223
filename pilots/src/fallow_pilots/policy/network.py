"""How compute nodes reach the hub."""

from typing import Annotated, Literal, Optional

from pydantic import Field, StringConstraints

from fallow.settings import Settings

HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")]
HostPort = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?:[0-9]{1,5}$")
]


class Network(Settings):
    """The way from the compute nodes to the hub."""

    profile: Literal["direct", "relay"] = "direct"
    """`direct`: nodes dial the hub and its store themselves; `relay`: they cannot, so the launcher runs a relay on its
    host that leads there and nowhere else. See docs/how-to/onboard-a-centre.md."""
    relay_host: Optional[HostName] = None
    """With `relay`: name or address of the launcher's host on the network that the nodes are on; none: its host name."""
    relay_port: int = Field(default=9620, ge=1024, le=65535)
    """With `relay`: the port that the relay listens at there."""
    also: tuple[HostPort, ...] = ()
    """With `relay`: further places that pilots and jobs may reach, `host:port`, e.g. a registry of images."""
