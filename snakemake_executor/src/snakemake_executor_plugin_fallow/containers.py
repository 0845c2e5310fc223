"""What rules say of their software: images that `container:` names, how the job sees them, and `conda:`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fallow.errors import UsageError
from fallow.images.names import is_digest, is_tag
from fallow.queue.spec import image_path

_METHOD = "--deployment-method"
_PULLED = ".snakemake/singularity"
"""Where Snakemake keeps images that it has pulled, below the working directory."""


@dataclass(frozen=True)
class RuleImage:
    """An image of a rule: a local file, or one that the hub has."""

    rule: str
    link: str
    """Where the job's Snakemake looks for it, relative to the working directory."""
    file: Path
    named: str = ""
    """The digest or tag of one that the hub has; there is no file then."""


def uses_containers(workflow: Any) -> bool:
    """Whether Snakemake is asked to run rules in their containers."""
    return "APPTAINER" in _methods(workflow)


def uses_conda(workflow: Any) -> bool:
    """Whether Snakemake is asked to make rules' conda environments."""
    return "CONDA" in _methods(workflow)


def _methods(workflow: Any) -> set[str]:
    """The names of the chosen deployment methods; all that we know of Snakemake's `DeploymentMethod`."""
    return {method.name for method in workflow.deployment_settings.deployment_method}


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


def conda_rules(jobs: Iterable[Any]) -> list[str]:
    """The rules of `jobs` that ask for a conda environment."""
    return sorted({job.rule.name for job in jobs if job.conda_env_spec})


def without_conda(arguments: list[str]) -> list[str]:
    """Snakemake's arguments without conda, for rules that ask for none: it would look for conda all the same."""
    if _METHOD not in arguments:
        return arguments
    start = arguments.index(_METHOD)
    end = next(
        (at for at in range(start + 1, len(arguments)) if arguments[at].startswith("-")), len(arguments)
    )
    others = [method for method in arguments[start + 1 : end] if method != "conda"]
    return [*arguments[:start], *([_METHOD, *others] if others else []), *arguments[end:]]


def rule_image(rule: str, url: str, workdir: Path) -> RuleImage:
    """The image that `url` means for `rule`.

    Raises:
        UsageError: It is neither a digest nor a tag nor a local SIF file below the working directory, named relatively.
    """
    if is_digest(url) or is_tag(url):
        # what is there under the name that Snakemake gives to a pulled image is not pulled again
        name = hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()
        return RuleImage(rule, f"{_PULLED}/{name}.simg", Path(), url)
    scheme = urlsplit(url).scheme
    if scheme:
        raise UsageError(
            f"Rule {rule}: the container {url} is not a local file, and jobs cannot pull images.",
            remedy=f"Pull it once (apptainer pull images/name.sif {url}) and name that file, or the digest sha256:… "
            "or a tag fallow://… of an image that the hub has.",
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


def image_arguments(images: Iterable[RuleImage]) -> list[str]:
    """What the job's Snakemake must be told to find them: else it looks where the node keeps Apptainer's cache."""
    return ["--apptainer-prefix", _PULLED] if any(image.named for image in images) else []


def links(digests: dict[str, str]) -> dict[str, str]:
    """Links to make in the job's working directory, by their paths, from the digests by these paths."""
    return {link: image_path(digest) for link, digest in digests.items()}
