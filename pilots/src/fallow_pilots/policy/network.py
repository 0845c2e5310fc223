"""How compute nodes, and the launcher's host, reach the hub."""

from typing import Annotated, Literal, Optional

from pydantic import Field, StringConstraints, model_validator

from fallow.settings import Settings
from fallow_pilots.policy.words import AbsolutePath

HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")]
HostPort = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?:[0-9]{1,5}$")
]
ProxyUrl = Annotated[
    str, StringConstraints(pattern=r"^http://[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?:[0-9]{1,5}$")
]


class Network(Settings):
    """The way from the compute nodes to the hub."""

    profile: Literal["direct", "proxy", "relay", "files"] = "direct"
    """`direct`: nodes dial the hub and its store themselves; `proxy`: they reach them by the site's HTTP proxy; `relay`: by
    neither, so the launcher runs a relay on its host that leads there and nowhere else; `files`: they cannot dial even that
    host, so that they and the relay leave each other files on the file system that they share. See
    docs/how-to/onboard-a-centre.md."""
    proxy: Optional[ProxyUrl] = None
    """The site's HTTP proxy, `http://proxy.example.org:3128`. The launcher's host reaches the hub by it, and so does its
    relay; with `profile = "proxy"` the nodes as well."""
    proxy_login_file: Optional[AbsolutePath] = None
    """Where the proxy asks for a login: a file of mode 0600 that holds `user:password`."""
    attached: bool = False
    """Whether the launcher's host can dial nothing outside and only takes ssh: it reaches the hub by a machine on which
    `fallow pilot attach` runs."""
    relay_host: Optional[HostName] = None
    """With `relay`: name or address of the launcher's host on the network that the nodes are on; none: its host name."""
    relay_port: int = Field(default=9620, ge=1024, le=65535)
    """With `relay`: the port that the relay listens at there."""
    files_dir: Optional[AbsolutePath] = None
    """With `files`: a directory for them on a file system that the nodes share and that is good at small files; none:
    `carried` below `state_dir`."""
    also: tuple[HostPort, ...] = ()
    """With all but `direct`: further places that pilots and jobs may reach, `host:port`, e.g. a registry of images."""

    @property
    def relayed(self) -> bool:
        """Whether nodes reach the hub by the launcher's relay."""
        return self.profile in ("relay", "files")

    @model_validator(mode="after")
    def _ways_agree(self) -> "Network":
        if self.profile == "proxy" and self.proxy is None:
            raise ValueError('network.profile = "proxy" needs network.proxy')
        if self.proxy_login_file and self.proxy is None:
            raise ValueError("network.proxy_login_file needs network.proxy")
        if self.attached and self.proxy:
            raise ValueError("network.attached contradicts network.proxy: the host has one way out")
        return self
