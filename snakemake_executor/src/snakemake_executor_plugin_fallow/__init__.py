"""Snakemake executor plugin that runs rules in a Fallow federation.

Snakemake imports this on every call, also where another executor is used: nothing here may be slow or fail.
"""

from snakemake_interface_executor_plugins.settings import CommonSettings

from snakemake_executor_plugin_fallow.executor import Executor
from snakemake_executor_plugin_fallow.settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=False,  # Snakemake would delete its archive under other runs: see `sources`
    pass_group_args=True,
    pass_envvar_declarations_to_cmd=False,  # secrets would land in the command
    auto_deploy_default_storage_provider=False,  # the worker image has it; else every job would run pip
)
