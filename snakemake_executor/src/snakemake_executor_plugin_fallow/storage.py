"""S3 access on the submitting side, before Snakemake opens its storage."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from snakemake_interface_common.exceptions import WorkflowError

if TYPE_CHECKING:
    from fallow.messages import StorageAccess

KEPT = ".fallow"
"""Name of an object that stays in a user's storage: Snakemake's S3 plugin deletes a bucket that has become empty."""

log = logging.getLogger(__name__)


def provide_access() -> None:
    """Point AWS clients of this process to the federation's storage, unless the user chose another access.

    Does nothing where no hub is configured: then there is no federation whose storage could be meant.

    Raises:
        WorkflowError: The hub is configured but gives no access.
    """
    from fallow.client import client_settings, connect
    from fallow.errors import FallowError, SettingsError
    from fallow.storage.environment import environment, has_own_access

    if has_own_access(os.environ):
        return
    try:
        settings = client_settings()
    except SettingsError as error:
        log.debug("no storage of a federation: %s", error)
        return
    try:
        os.environ.update(environment(connect(settings).storage(), settings))
    except FallowError as error:
        raise WorkflowError(f"No access to the federation's storage. {error}") from error


def keep_bucket(access: StorageAccess) -> None:
    """Make sure that the user's bucket never becomes empty.

    Raises:
        NotAvailableError: The storage cannot be written to.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from fallow.errors import NotAvailableError

    key = f"{access.prefix.strip('/')}/{KEPT}".lstrip("/")
    try:
        boto3.resource("s3").Object(access.bucket, key).put(Body=b"")
    except (BotoCoreError, ClientError) as error:
        raise NotAvailableError(
            f"Your storage s3://{access.bucket}/{access.prefix} cannot be written to: {error}", retryable=True
        ) from error
