"""Snakemake's own suite for executor plugins, at the desk, through the real federation."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snakemake.common.tests import TestWorkflowsMinioPlayStorageBase
from snakemake.settings import types as settings

from fallow_testbed import people, s3
from fallow_testbed.demo.run import FALLOW
from fallow_testbed.host import Host
from fallow_testbed.images import ensure_sif
from fallow_testbed.testbed import Testbed
from snakemake_executor_plugin_fallow import ExecutorSettings


class TestFallow(TestWorkflowsMinioPlayStorageBase):  # type: ignore[misc]
    """The suite as it is, but for where the storage is and who has the keys to it: the federation gives both."""

    __test__ = True

    @pytest.fixture(autouse=True)
    def _at_the_desk(self, bed: Testbed, at: Callable[..., Any], tmp_path: Path) -> None:
        env = people.environment(bed.layout(), "alice")
        storage = json.loads(bed.host("desk").run([FALLOW, "storage", "--json"], env=env).stdout)
        self.prefix = f"{storage['url']}/{tmp_path.name}"
        self.at, self.image = at, str(ensure_sif("worker").sif)

    def get_executor(self) -> str:
        return "fallow"

    def get_executor_settings(self) -> ExecutorSettings:
        return self.settings

    def get_assume_shared_fs(self) -> bool:
        return False

    def get_default_storage_prefix(self) -> str:
        return self.prefix

    def get_default_storage_provider_settings(self) -> None:
        return None

    def get_remote_execution_settings(self) -> settings.RemoteExecutionSettings:
        return settings.RemoteExecutionSettings(envvars=self.get_envvars())

    def cleanup_test(self) -> None:
        """The suite would delete the bucket, which is not the test's."""

    def run_workflow(self, test_name: str, tmp_path: Path, deployment_method: Any = frozenset()) -> None:
        self.at("alice", self._run, test_name, tmp_path, deployment_method)

    def _run(self, *arguments: Any) -> None:
        self.settings = ExecutorSettings(
            image=self.image
        )  # as on the command line: before anything is opened
        super().run_workflow(*arguments)


class TestOwnKeys(TestFallow):
    """The suite with S3 keys of the user's own and a new bucket, as it does where there is no federation."""

    keys: tuple[str, str, str]
    test_group_workflow = None

    @pytest.fixture(autouse=True)
    def _own_keys(self, _at_the_desk: None, hub_host: Host) -> None:
        keys = tomllib.loads(hub_host.run(["cat", s3.KEYS_FILE]).stdout)
        self.keys = (s3.ENDPOINT, str(keys["access_key"]), str(keys["secret_key"]))
        self.prefix = f"s3://{self.bucket}"

    def get_default_storage_provider_settings(self) -> Any:
        return TestWorkflowsMinioPlayStorageBase.get_default_storage_provider_settings(self)

    @property
    def endpoint_url(self) -> str:
        return self.keys[0]

    @property
    def access_key(self) -> str:
        return self.keys[1]

    @property
    def secret_key(self) -> str:
        return self.keys[2]
