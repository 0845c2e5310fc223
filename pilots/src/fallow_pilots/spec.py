"""What the launcher hands to one pilot: a JSON file on the shared file system that only its user may read.

The batch script holds nothing but `fallow-pilot-node --spec FILE`; no secret and no setting travels in an
argument or in the environment of the batch system.
"""

import re
from pathlib import Path
from typing import Annotated, Optional

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from fallow.errors import SettingsError
from fallow.files import read_private, write_private
from fallow.images.messages import PublicKey
from fallow.offers import CentreName
from fallow.settings import Settings

PILOT_ID = r"^[a-z0-9][a-z0-9-]{0,62}-[0-9]{1,12}(n[0-9]{1,5})?$"


def _whole(expression: str) -> str:
    """A ClassAd expression that ends where its text ends, so that nothing of what stands beside it becomes part of it."""
    depth = 0
    for mark in re.findall(r"""["'()]|/[*/]""", re.sub(r'"[^"]*"', "", expression)):
        depth += {"(": 1, ")": -1}.get(mark, -len(expression))
        if depth < 0:
            raise ValueError("a quote, a bracket or a comment has no end or no beginning")
    if depth:
        raise ValueError("a bracket has no end")
    return expression


Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\[\]:-]{1,260}:[0-9]{1,5}$")]
"""`host:port`."""
Clause = Annotated[str, StringConstraints(pattern=r"^[ -\[\]-~]+$"), AfterValidator(_whole)]
"""One condition: printable ASCII without a backslash, which means different things to different readers of ClassAds."""
Domain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]{1,254}$")]
"""A trust domain."""
Repository = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,127}$")]
"""The name of a CVMFS repository."""


class PilotSpec(Settings):
    """One pilot as its launcher wants it; a path means the same on login and compute nodes.

    Whoever runs it under another account than the launcher's does not trust the launcher: what becomes part of HTCondor's
    configuration or of a list of directories has an alphabet in which neither can be said.
    """

    pilot: str = Field(pattern=PILOT_ID)
    """The pilot's id, `<centre>-<serial>`; the slot's `FallowPilot`."""
    centre: CentreName
    """The centre that runs the pilot; the slot's `FallowCentre`."""
    hub: str
    """URL of the gateway."""
    other_hub: Optional[str] = None
    """URL of the other hub's gateway, where there are two."""
    ca_file: Optional[Path] = None
    """Certificate authority of the gateway, where no public one signed it."""
    collector: Address
    """Address of the hub's collector, `host:port`."""
    other_collector: Optional[Address] = None
    """That of the other hub's, where there are two: the pilot joins both pools."""
    trust_domain: Domain
    """HTCondor trust domain of the federation."""
    token_file: Path
    """The centre's HTCondor IDTOKEN, 0600; the launcher replaces it before it expires, so read it again."""
    outcome_file: Path
    """Where the pilot writes its `Outcome`, one line of JSON, before it ends."""
    findings_file: Optional[Path] = None
    """Set where only the node check is wanted: it writes its findings there as JSON, and the pilot ends."""
    probes: tuple[str, ...] = ()
    """With `findings_file`: what the node dials by itself, `host:port`, to see whether it has a way out."""
    probe_relay: Optional[str] = None
    """With `findings_file`: where a relay would listen, `host:port`."""
    probe_proxy: Optional[Path] = None
    """With `findings_file`: terms of the site's proxy, to see where it leads from the node."""
    cores: int = Field(ge=1)
    """Cores of the allocation."""
    memory_mb: int = Field(ge=1)
    """Memory of the allocation."""
    disk_mb: int = Field(ge=0)
    """Scratch space that jobs may share; 0: what the scratch directory has free."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of the allocation."""
    whole_node: bool = False
    """Offer all that the allocation has of the node, and not only so much as was asked for."""
    walltime_s: int = Field(ge=60)
    """Length of the allocation, counted from the start of the batch job."""
    idle_exit_s: int = Field(ge=1)
    """A pilot that had no work for so long leaves."""
    drain_grace_s: int = Field(default=60, ge=1)
    """Time before the end of the allocation at which the batch system sends USR1 and the pilot drains."""
    scratch_dir: Path
    """Local directory on the node under which the pilot makes its own, removed at its end."""
    image_store_dir: Path
    """The centre's store of images, shared by its pilots."""
    image_quota_mb: Optional[int] = Field(default=None, ge=1)
    """What the images in the store may have together; none: what its file system has."""
    image_copies: tuple[Path, ...] = ()
    """Directories in which the site has copies of images."""
    image_signers: tuple[PublicKey, ...] = ()
    """Public keys of those whom the site trusts to say which files an image holds."""
    way_file: Optional[Path] = None
    """Terms of the relay, or of the site's proxy, that leads to the hub; none: the node reaches the hub itself."""
    cvmfs: tuple[Repository, ...] = ()
    """CVMFS repositories that the policy promises; the node check looks for them."""
    cvmfs_copies: dict[Repository, Path] = Field(default_factory=dict)
    """Copies of CVMFS repositories that payloads see in place of mounted ones."""
    images: tuple[str, ...] = ()
    """With `registries`: images that need not lie in a registry, `sha256:…`."""
    registries: tuple[str, ...] = ()
    """Registry prefixes in which all other images must lie; none: the policy names no registry."""
    registry_ca_file: Optional[Path] = None
    """Certificate authority of these registries, where no public one signed them."""
    network: bool = True
    """Whether payloads have a network."""
    conditions: tuple[Clause, ...] = ()
    """Further clauses of START, ClassAd expressions generated from the policy; all must hold."""

    @property
    def hubs(self) -> "tuple[str, ...]":
        """The gateways, the one that is asked first before the other."""
        return (self.hub, self.other_hub) if self.other_hub else (self.hub,)

    @property
    def collectors(self) -> "tuple[str, ...]":
        """The collectors of the pools that the pilot joins."""
        return (self.collector, self.other_collector) if self.other_collector else (self.collector,)

    def write(self, path: Path) -> None:
        """Store the spec at `path`, 0600, whole or not at all."""
        write_private(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "PilotSpec":
        """Read a spec that the launcher wrote.

        Raises:
            SettingsError: The file is missing, belongs to another user, is open to others, or does not fit.
        """
        text = read_private(path)
        if text is None:
            raise SettingsError(f"There is no pilot specification at {path}.")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors(include_url=False)
            )
            raise SettingsError(f"{path} is no pilot specification: {problems}.") from error
