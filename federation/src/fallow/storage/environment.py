"""The submitting side's access: a configuration file without secrets, and the variables that point to it.

The file names a `credential_process`, so boto3 asks the gateway for credentials when it needs them and again
before they expire; they are never on disk, in an argument list or in the environment.
"""

from __future__ import annotations

import os
import re
import shlex
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fallow.files import private_directory, write_private
from fallow.storage.aws import config

if TYPE_CHECKING:
    from fallow.client import ClientSettings
    from fallow.messages import StorageAccess

OWN_ACCESS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "SNAKEMAKE_STORAGE_S3_ACCESS_KEY",
)
"""Where one of these is set, the user has chosen another access, which is left alone."""


def has_own_access(environ: Mapping[str, str]) -> bool:
    """Whether the user has already said which S3 credentials to use."""
    return any(environ.get(name) for name in OWN_ACCESS)


def environment(
    access: StorageAccess, settings: ClientSettings, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write the configuration file and return the environment variables that make AWS clients use it.

    Args:
        access: An answer of the hub; only its endpoint and region are written.
        settings: The client's settings, for the certificate authorities.
        environ: The environment to build on; the process's unless given.
    """
    environ = os.environ if environ is None else environ
    place = _directory(settings.hub, environ)
    more = {"credential_process": shlex.join([sys.executable, "-m", "fallow.storage"])}
    variables = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    if settings.ca_file and access.endpoint.startswith("https:"):
        bundle = place / "ca.pem"
        write_private(bundle, _authorities(settings.ca_file, environ))
        variables["AWS_CA_BUNDLE"] = more["ca_bundle"] = str(bundle)
    path = place / "config"
    write_private(path, config(access, **more))
    return {"AWS_CONFIG_FILE": str(path), **variables}


def _directory(hub: str, environ: Mapping[str, str]) -> Path:
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return private_directory(
        cache / "fallow" / "s3" / re.sub(r"[^A-Za-z0-9.-]+", "_", hub.partition("://")[2])
    )


def _authorities(ca_file: Path, environ: Mapping[str, str]) -> str:
    """The machine's certificate authorities and the federation's own."""
    system = environ.get("AWS_CA_BUNDLE") or ssl.get_default_verify_paths().cafile
    files = [Path(system)] if system and Path(system).is_file() else []
    return "\n".join(file.read_text(encoding="utf-8") for file in [*files, ca_file])
