"""What compute nodes are like."""

from pathlib import Path
from typing import Optional

from pydantic import Field

from fallow.images.messages import PublicKey
from fallow.settings import Settings
from fallow_pilots.policy.words import AbsolutePath
from fallow_pilots.spec import Repository


class CvmfsCopy(Settings):
    """A copy of a CVMFS repository, for nodes that do not mount it."""

    repository: Repository
    """The repository; jobs see the copy at `/cvmfs/REPOSITORY`."""
    directory: AbsolutePath
    """Where its files lie on every node, or a link to where; a pilot keeps to what the link meant at its start. The copy's
    revision is what `.cvmfspublished` in it says, the repository's manifest."""


class Assume(Settings):
    """What a pilot may assume on a compute node."""

    scratch_dir: AbsolutePath = Path("/tmp")  # noqa: S108 - a directory of the pilot's own is made below it
    """Local directory for the pilot's files, removed when it ends, or by the next pilot on the node where it was killed."""
    image_store_dir: Optional[AbsolutePath] = None
    """Store of images shared by the centre's pilots; none: `images` below `state_dir`. A file system that the login host
    and all nodes share, writable by the pilots' user; nodes that can only read it take what is there."""
    image_quota_mb: Optional[int] = Field(default=None, ge=1)
    """What the images in the store may have together, in 10^6 bytes; none: all but 1 GiB of its file system. The least
    recently used go first, and none that is in use."""
    image_prefetch: bool = True
    """Whether the launcher fetches images that waiting jobs need before the jobs come."""
    image_copies: tuple[AbsolutePath, ...] = ()
    """Directories of the nodes in which the site has copies of images, which are used if they are identical: as a file
    `sha256-<hex>.sif`, as a directory `sha256-<hex>`, or as `REGISTRY/NAME:TAG` on `/cvmfs/unpacked.cern.ch`."""
    image_signers: tuple[PublicKey, ...] = ()
    """Public keys, `ssh-ed25519 …`, of those who may say which files an image holds; without them no unpacked directory is
    used."""
    cvmfs: tuple[Repository, ...] = ()
    """CVMFS repositories that every node has mounted."""
    cvmfs_copies: tuple[CvmfsCopy, ...] = ()
    """Copies of repositories, which the site syncs, on nodes that mount none."""
    registry_ca_file: Optional[AbsolutePath] = None
    """Certificate authority of the registries in `conditions.images`; none where a public one signed them."""
    node_command: Optional[AbsolutePath] = None
    """`fallow-pilot-node` on the compute nodes; none: the one installed beside the launcher. Not with `accounts.people`: a
    launcher names no program that runs under another account."""
