"""Images that rules name with `container:`: whether we can bring them, and under which name the job sees them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fallow.errors import UsageError
from fallow.queue.spec import image_path


@dataclass(frozen=True)
class RuleImage:
    """A local image of a rule."""

    rule: str
    link: str
    """The path in the rule's `container:`, relative to the working directory on both sides."""
    file: Path


def uses_containers(workflow: Any) -> bool:
    """Whether Snakemake is asked to run rules in their containers."""
    from snakemake_interface_executor_plugins.settings import DeploymentMethod

    return DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method


def rule_images(jobs: Iterable[Any], workdir: Path) -> list[RuleImage]:
    """The images that `jobs` (the members of one submitted job) start, each once.

    Raises:
        UsageError: One of them cannot be brought to the job; the message names the rule.
    """
    found = {}
    for job in jobs:
        if job.container_img_url:
            image = rule_image(job.rule.name, str(job.container_img_url), workdir)
            found[image.link] = image
    return list(found.values())


def rule_image(rule: str, url: str, workdir: Path) -> RuleImage:
    """The image that `url` means for `rule`.

    Raises:
        UsageError: It is not a local SIF file below the working directory, named relatively.
    """
    scheme = urlsplit(url).scheme
    if scheme:
        raise UsageError(
            f"Rule {rule}: the container {url} is not a local file, and jobs cannot pull images.",
            remedy=f"Pull it once (apptainer pull images/name.sif {url}) and name that file.",
        )
    path = PurePosixPath(url)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(
            f"Rule {rule}: the container {url} is outside of the working directory; jobs have no such path.",
            remedy=f"Put or link the file below {workdir} and name it relative to that.",
        )
    file = workdir / path
    if not file.is_file():
        raise UsageError(f"Rule {rule}: there is no image {file}.", remedy="Build it, or name another file.")
    return RuleImage(rule, str(path), file)


def links(digests: dict[str, str]) -> dict[str, str]:
    """Links to make in the job's working directory, by their paths, from the digests by these paths."""
    return {link: image_path(digest) for link, digest in digests.items()}
