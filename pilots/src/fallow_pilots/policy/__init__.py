"""The site admin's policy: one TOML file that says what a centre gives, when, to whom and how.

The launcher does nothing that this file does not allow. Unknown names are refused, and so are clauses that
contradict each other: the message names both.
"""

import os
from pathlib import Path
from typing import Optional

from pydantic import model_validator

from fallow.errors import SettingsError
from fallow.settings import Settings, load
from fallow_pilots.policy.accounts import Accounts
from fallow_pilots.policy.agree import contradictions
from fallow_pilots.policy.assume import Assume
from fallow_pilots.policy.batch import Batch
from fallow_pilots.policy.identity import Identity
from fallow_pilots.policy.limits import BackOff, Limits
from fallow_pilots.policy.network import Network
from fallow_pilots.policy.shapes import PilotShape, Shape
from fallow_pilots.policy.terms import Conditions
from fallow_pilots.policy.when import When
from fallow_pilots.policy.words import AbsolutePath

__all__ = [
    "Accounts", "Assume", "BackOff", "Batch", "Conditions", "Identity", "Limits", "Network", "PilotShape", "Policy",
    "Shape", "When", "policy_path", "read_policy",
]  # fmt: skip

DEFAULT_PATH = Path("/etc/fallow/policy.toml")
ENVIRONMENT = "FALLOW_POLICY"


class Policy(Settings):
    """One centre's policy."""

    state_dir: AbsolutePath
    """The launcher's directory on the file system that login and compute nodes share."""
    identity: Identity
    """Who this centre is."""
    batch: Batch = Batch()
    """Its batch system."""
    accounts: Accounts = Accounts()
    """Under whose accounts."""
    pilot: PilotShape
    """The shape of a pilot."""
    limits: Limits
    """How much."""
    when: When = When()
    """When."""
    conditions: Conditions = Conditions()
    """For whom."""
    assume: Assume = Assume()
    """What nodes offer."""
    network: Network = Network()
    """How nodes reach the hub."""
    backoff: BackOff = BackOff()
    """When to slow down."""
    metrics_dir: Optional[AbsolutePath] = None
    """A directory on the launcher's host that node_exporter's textfile collector reads and the launcher may write to:
    launcher and relay keep their numbers for Prometheus there; none: they keep none."""

    @model_validator(mode="after")
    def _clauses_agree(self) -> "Policy":
        problems = list(contradictions(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def image_store_dir(self) -> Path:
        """Where pilots keep images."""
        return self.assume.image_store_dir or self.state_dir / "images"

    @property
    def prefetches(self) -> bool:
        """Whether the launcher fetches images before the jobs come, into a store that some pilot reads."""
        store_is_read = None in self.accounts.names or self.assume.image_store_dir is not None
        return self.assume.image_prefetch and store_is_read

    @property
    def copies(self) -> "tuple[Path, ...]":
        """Directories of the site of which payloads see files."""
        return (*self.assume.image_copies, *(copy.directory for copy in self.assume.cvmfs_copies))

    def metrics_file(self, what: str) -> Optional[Path]:
        """Where the numbers of a part of the launcher go."""
        return self.metrics_dir / f"fallow_{what}_{self.identity.centre}.prom" if self.metrics_dir else None

    @property
    def files_dir(self) -> Optional[Path]:
        """Where nodes and the relay leave each other files; None where nodes dial."""
        if self.network.profile != "files":
            return None
        return self.network.files_dir or self.state_dir / "carried"


def policy_path(given: Optional[Path] = None) -> Path:
    """The file to read: the one given, else `$FALLOW_POLICY`, else `/etc/fallow/policy.toml`."""
    if given is not None:
        return given
    return Path(os.environ.get(ENVIRONMENT) or DEFAULT_PATH)


def read_policy(given: Optional[Path] = None) -> Policy:
    """Read and validate the policy.

    Raises:
        SettingsError: The file is missing, is no TOML, has unknown names, or contradicts itself.
    """
    path = policy_path(given)
    if not path.exists():
        raise SettingsError(
            f"There is no policy at {path}.",
            remedy=f"Write one, or name it with --policy or ${ENVIRONMENT}.",
        )
    return load(Policy, path)
