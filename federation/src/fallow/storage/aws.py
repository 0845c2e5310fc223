"""`StorageAccess` as what every AWS client reads. Pure."""

from __future__ import annotations

import configparser
import io
from collections.abc import Mapping
from typing import Any

from fallow.errors import NotAvailableError
from fallow.messages import StorageAccess


def config(access: StorageAccess, **more: str) -> str:
    """An AWS configuration file that leads to the federation's S3 server; `more` are further settings."""
    settings = {"region": access.region, "endpoint_url": access.endpoint, **more}
    return _ini({**settings, "s3": "\naddressing_style = path"})


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
