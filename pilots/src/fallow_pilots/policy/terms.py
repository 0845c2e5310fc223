"""Whose jobs a centre takes, and which."""

from typing import Optional, Union

from pydantic import Field

from fallow.messages import Digest
from fallow.offers import CentreName
from fallow.settings import Settings
from fallow_pilots.policy.words import GpuModel, Project, RegistryPrefix, WorkType


class Conditions(Settings):
    """Under what conditions the centre's pilots take a job; each pilot enforces them itself, whatever the hub sends it."""

    work_types: tuple[WorkType, ...] = ()
    """Work types taken; none: all."""
    refused_work_types: tuple[WorkType, ...] = ()
    """Work types never taken."""
    centres: tuple[CentreName, ...] = ()
    """Centres whose users' jobs are taken; none: all. A job's centre follows from its user's token."""
    refused_centres: tuple[CentreName, ...] = ()
    """Centres whose users' jobs are never taken."""
    projects: tuple[Project, ...] = ()
    """Projects whose jobs are taken; none: all. The hub takes a project's name only from its members."""
    refused_projects: tuple[Project, ...] = ()
    """Projects whose jobs are never taken; a job that names no project is: to be sure, use `projects`."""
    images: tuple[Union[Digest, RegistryPrefix], ...] = ()
    """Images that may run, each a digest `sha256:…` or a registry prefix as `oras://registry.example.org/tools/`; none: all.
    A job whose image lies in a registry says where (`FallowImageSource`), and the pilot asks that registry whether the
    repository holds an image of this very digest: what counts is who may push there, not what the job says."""
    max_job_s: Optional[int] = Field(default=None, ge=1)
    """Longest walltime that a job may ask for."""
    gpu_models: tuple[GpuModel, ...] = ()
    """GPU models that jobs may use, as the node's driver calls them, e.g. `NVIDIA A100-SXM4-40GB`; none: all."""
    outbound_network: bool = True
    """Whether jobs have a network; `false`: only jobs that declare to need none are taken, and they get none."""

    @property
    def digests(self) -> "tuple[str, ...]":
        """The images named one by one."""
        return tuple(image for image in self.images if image.startswith("sha256:"))

    @property
    def registries(self) -> "tuple[str, ...]":
        """The registry prefixes."""
        return tuple(image for image in self.images if not image.startswith("sha256:"))
