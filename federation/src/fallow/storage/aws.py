"""`StorageAccess` as the files that every AWS client reads. Pure."""

from __future__ import annotations

import configparser
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fallow.errors import NotAvailableError
from fallow.messages import StorageAccess


@dataclass(frozen=True)
class AwsFiles:
    """Contents of a configuration file and a credentials file."""

    config: str
    credentials: str = field(repr=False)


def config(access: StorageAccess, **more: str) -> str:
    """An AWS configuration file that leads to the federation's S3 server; `more` are further settings."""
    settings = {"region": access.region, "endpoint_url": access.endpoint, **more}
    return _ini({**settings, "s3": "\naddressing_style = path"})


def job_files(access: StorageAccess, **more: str) -> AwsFiles:
    """The two files for a job: fixed credentials, which end with `access.expires`."""
    credentials = {"aws_access_key_id": access.access_key, "aws_secret_access_key": access.secret_key}
    if access.session_token:
        credentials["aws_session_token"] = access.session_token
    return AwsFiles(config(access, **more), _ini(credentials))


def process_document(access: StorageAccess) -> dict[str, Any]:
    """What AWS clients expect of a `credential_process`; they call it again when the credentials expire."""
    document = {
        "Version": 1,
        "AccessKeyId": access.access_key,
        "SecretAccessKey": access.secret_key,
        "Expiration": access.expires.isoformat(),
    }
    return {**document, "SessionToken": access.session_token} if access.session_token else document


def _ini(settings: Mapping[str, str]) -> str:
    nested = settings.get("s3", "")
    if any("\n" in value or "\r" in value for value in settings.values() if value is not nested):
        raise NotAvailableError("The hub's answer about storage has a line break in it.")
    parser = configparser.RawConfigParser()
    parser["default"] = dict(settings)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()
