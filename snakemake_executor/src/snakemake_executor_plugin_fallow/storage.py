"""S3 access on the submitting side, before Snakemake opens its storage."""

import logging
import os

from snakemake_interface_common.exceptions import WorkflowError

log = logging.getLogger(__name__)


def provide_access() -> None:
    """Before the workflow is read: have S3 done with care and what is read watched, and give access to the storage.

    Raises:
        WorkflowError: The hub is configured but gives no access.
    """
    try:
        from snakemake_executor_plugin_fallow.job import fallow_s3
    except ImportError as error:
        log.debug("no S3 plugin: %s", error)
    else:
        fallow_s3.install(remember=False)
    from snakemake_executor_plugin_fallow.used import watch

    watch.start()
    _provide_access()


def _provide_access() -> None:
    """Point AWS clients of this process to the federation's storage, unless the user chose another access.

    Does nothing where no hub is configured: then there is no federation whose storage could be meant.

    A dry run needs no hub: while it is away, what the storage holds is assumed.

    Raises:
        WorkflowError: The hub is configured but gives no access.
    """
    from fallow.client import client_settings, connect
    from fallow.errors import FallowError, NotAvailableError, SettingsError
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
        if isinstance(error, NotAvailableError) and _assumed(error):
            return
        raise WorkflowError(f"No access to the federation's storage. {error}") from error


def _assumed(error: Exception) -> bool:
    """Whether this is a dry run, which now goes on without the storage."""
    try:
        from snakemake_executor_plugin_fallow import unseen
    except ImportError:  # no S3 plugin
        return False
    dry = unseen.is_dry_run()
    if dry:
        unseen.assume(str(error))
    return dry
