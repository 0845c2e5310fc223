"""What a client asks the queue to run: one job, complete and checked before anything is sent."""

import re
from pathlib import Path
from typing import Annotated, Optional

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from fallow.documented import Documented
from fallow.images.architecture import USUAL, Architecture
from fallow.messages import Digest

Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Run = Annotated[str, StringConstraints(max_length=255, pattern=r"^[ !#-\[\]-~]+$")]
"""Printable ASCII without quote and backslash: the schedd reads any other text in a constraint in its own way."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EVALUATED = re.compile(r"[$`\\]")
_PROGRAM = re.compile(r"[^-=][^=]*")


def image_path(digest: str) -> str:
    """The name under which an image is known to a job and, by our launcher, on the node."""
    return "/fallow/images/" + digest.replace(":", "-") + ".sif"


class JobSpec(Documented):
    """One job. All of it ends up in the job ad, which others may read: secrets belong into `input_files`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Run
    """The client's run: groups jobs for queries and removal."""
    key: Name
    """The client's own id of this job, unique within the run; submitting it twice gives the same job."""
    name: Name
    """What a person calls the job."""
    image: Digest
    """The image that the job runs in."""
    architecture: Architecture = USUAL
    """What the programs of these images are for."""
    images: tuple[Digest, ...] = ()
    """Further images that the job may start inside its container."""
    argv: tuple[str, ...] = Field(min_length=1)
    """Program and arguments inside the container; a program without `/` is looked for on its PATH."""
    input_files: tuple[Path, ...] = ()
    """Absolute local files that are spooled into the job's working directory under their own names."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Which of the submitter's waiting jobs goes first: the greater one."""
    directory: Path
    """Absolute local directory that the job belongs to; `Queue.fetch` may name another."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the job; never secrets."""
    notes: Optional[Annotated[str, StringConstraints(max_length=1000, pattern=r"^s3://[!-~]+$")]] = None
    """Where in the user's storage the job says what it writes while it runs."""
    cores: int = Field(default=1, ge=1)
    memory_mb: int = Field(default=1024, ge=1)
    disk_mb: int = Field(default=1024, ge=1)
    walltime_s: int = Field(default=3600, ge=1)
    """Seconds after which the job is stopped."""
    gpus: int = Field(default=0, ge=0)
    work_type: Optional[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]] = None
    """A work type of the rules in force, e.g. `production`; the rules decide where it is left out."""
    project: Optional[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]] = None
    """A project that the submitter is a member of, by the hub's settings; centres may take or refuse it."""
    image_source: tuple[
        Annotated[
            str, StringConstraints(pattern=r"^oras://[a-z0-9][a-z0-9.:-]*(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
        ],
        ...,
    ] = ()
    """Repositories of registries that hold these images, `oras://registry.example.org/tools/bwa`; centres may ask there."""
    network: bool = True
    """Whether the job needs a network beyond its own input files; some centres take only jobs that need none."""
    centre: Optional[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]] = None
    """Run at this centre only."""
    requirements: Optional[str] = None
    """A further ClassAd expression that the slot must fulfil."""

    @field_validator("input_files", "directory")
    @classmethod
    def _plain_absolute(cls, value: "tuple[Path, ...] | Path") -> "tuple[Path, ...] | Path":
        for path in (value,) if isinstance(value, Path) else value:
            if not path.is_absolute():
                raise ValueError(f"{path} is not an absolute path")
            if "," in str(path) or '"' in str(path):
                raise ValueError(
                    f"{str(path)!r} holds a comma or a quote, which HTCondor's file lists cannot express"
                )
        return value

    @field_validator("environment")
    @classmethod
    def _named_variables(cls, value: dict[str, str]) -> dict[str, str]:
        bad = [name for name in value if not _VARIABLE.fullmatch(name)]
        if bad:
            raise ValueError(f"not names of environment variables: {', '.join(map(repr, bad))}")
        evaluated = [name for name, text in value.items() if _EVALUATED.search(text)]
        if evaluated:  # a shell of the container runtime reads what is passed on
            raise ValueError(f"$, ` or \\ in {', '.join(evaluated)} would not survive the way; use a file")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "JobSpec":
        names = [path.name for path in self.input_files]
        if len(set(names)) != len(names):
            raise ValueError(f"two input files have the same name: {', '.join(sorted(names))}")
        if not _PROGRAM.fullmatch(self.argv[0]):
            raise ValueError(f"{self.argv[0]!r} cannot be the name of a program")
        return self
