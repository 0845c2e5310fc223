"""What a job is told: one private description of what it is to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from fallow.messages import StorageAccess
from fallow.storage.aws import config, process_document
from snakemake_executor_plugin_fallow.job.fallow_job import CREDENTIAL_PROCESS

_EXPIRY_MARGIN_S = 60.0


@dataclass(frozen=True)
class Access:
    """A job's way to the storage: temporary credentials, and the certificate authorities to trust, in PEM."""

    storage: StorageAccess | None
    """None where the workflow brings keys of its own, which reach the job as its environment."""
    authorities: str | None = None
    renewal: Mapping[str, str] | None = None
    """`bucket` and `key` of the object where later credentials are put while the workflow runs."""

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The private files of a job that make it known to AWS clients, by name; the same for all jobs."""
        found = {}
        if self.storage is not None:
            found["aws/config"] = config(self.storage, credential_process=CREDENTIAL_PROCESS)
            found["aws/access.json"] = json.dumps({**process_document(self.storage), "renewal": self.renewal})
        if self.authorities:
            found["ca.pem"] = self.authorities
        return found


@dataclass(frozen=True)
class Sources:
    """The archive of the workflow's sources in the storage."""

    url: str
    sha256: str


@dataclass(frozen=True)
class Payload:
    """One job's description; it may hold secrets, so it is only ever written to private files."""

    arguments: Sequence[str]
    """Snakemake's arguments in the job."""
    sources: Sources | None = None
    precommand: str = ""
    """The user's shell command before everything else."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    links: Mapping[str, str] = field(default_factory=dict)
    conda: Sequence[str] = ()
    """Its rules that need conda in the image."""
    logs: Sequence[str] = ()
    """The rule's log files, as the job's Snakemake will call them."""
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What the job must read of the storage, by rule and wildcards."""

    def document(self, access: Access | None, notes: str | None = None) -> str:
        """The description as JSON, with the credentials of `access`; the job says how it gets on at the URL `notes`."""
        expires = None
        paths: dict[str, str] = {}
        if access is not None and access.storage is not None:
            expires = access.storage.expires.timestamp() - _EXPIRY_MARGIN_S
            paths = {"AWS_CONFIG_FILE": "aws/config", "AWS_SHARED_CREDENTIALS_FILE": "aws/none"}
        if access is not None and access.authorities:
            paths["AWS_CA_BUNDLE"] = "ca.pem"
        return json.dumps(
            {
                "arguments": list(self.arguments),
                "sources": asdict(self.sources) if self.sources else None,
                "precommand": self.precommand,
                "environment": dict(self.environment),
                "links": dict(self.links),
                "conda": list(self.conda),
                "logs": list(self.logs),
                "inputs": {name: list(queries) for name, queries in self.inputs.items()},
                "notes": notes,
                "files": dict(access.files) if access is not None else {},
                "private_paths": paths,
                "expires": expires,
            }
        )
