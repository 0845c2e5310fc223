"""Names and values that the policy's tables share, each with the narrowest alphabet that will do."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@,-]{0,127}$")]
"""A name that the batch system knows: it can never look like an option."""

Project = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""A project of the federation, known to its hub."""

RegistryPrefix = Annotated[
    str,
    StringConstraints(
        pattern=r"^oras://[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?(:[0-9]{1,5})?/([a-z0-9._-]+/)*([a-z0-9._-]+)?$"
    ),
]
"""A registry of SIF images and the beginning of a repository's path in it."""

GpuModel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/()+-]{0,79}$")]
"""A GPU's name, as its driver gives it."""

BatchGpu = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$")]
"""A GPU's model, as the batch system calls it."""

WorkType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
"""A work type of the federation, e.g. `analysis`."""

SbatchOption = Annotated[
    str,
    StringConstraints(
        pattern=r"^--(comment|constraint|exclude|exclusive|gres-flags|hint|licenses|nice|nodelist"
        r"|prefer|reservation|switches|tmp|wckey)(=[A-Za-z0-9_.,:@%+/*&|()\[\]-]{1,200})?$"
    ),
]
"""An option that goes to the batch system as it is; the launcher's own are not among them."""


Feature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}$")]
"""A feature of nodes, by the batch system's name for it."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    if any(ord(character) < 32 or character == "%" for character in str(path)):
        raise ValueError("a path may not hold control characters or '%'")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
