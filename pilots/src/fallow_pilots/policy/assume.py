"""What compute nodes are like."""

from pathlib import Path
from typing import Annotated, Optional

from pydantic import StringConstraints

from fallow.settings import Settings
from fallow_pilots.policy.words import AbsolutePath


class Assume(Settings):
    """What a pilot may assume on a compute node."""

    scratch_dir: AbsolutePath = Path("/tmp")  # noqa: S108 - a directory of the pilot's own is made below it
    """Local directory for the pilot's files, removed when it ends."""
    image_store_dir: Optional[AbsolutePath] = None
    """Store of images shared by the centre's pilots; none: `images` below `state_dir`."""
    cvmfs: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,127}$")], ...] = ()
    """CVMFS repositories that every node has."""
    proxy: Optional[Annotated[str, StringConstraints(pattern=r"^http://[A-Za-z0-9.-]+:[0-9]{1,5}$")]] = None
    """HTTP proxy that compute nodes need to reach the hub."""
    registry_ca_file: Optional[AbsolutePath] = None
    """Certificate authority of the registries in `conditions.images`; none where a public one signed them."""
    node_command: Optional[AbsolutePath] = None
    """`fallow-pilot-node` on the compute nodes; none: the one installed beside the launcher."""
