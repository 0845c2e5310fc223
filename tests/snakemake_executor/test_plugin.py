import json
import subprocess
import sys

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_executor_plugins.registry.plugin import Plugin


def plugin() -> Plugin:
    return ExecutorPluginRegistry().get_plugin("fallow")


def test_snakemake_finds_the_plugin_and_its_settings_are_fit_for_a_catalogue() -> None:
    described = json.loads(json.dumps(plugin().get_settings_info()))
    assert {item["name"] for item in described} == {
        "image",
        "work_type",
        "project",
        "centre",
        "requirements",
        "image_source",
        "network",
        "storage",
        "resubmissions",
    }
    assert all(item["help"] for item in described)


def test_no_secret_and_no_pip_gets_into_the_jobs_command() -> None:
    common = plugin().common_settings
    assert not common.pass_envvar_declarations_to_cmd
    assert not common.auto_deploy_default_storage_provider
    assert common.implies_no_shared_fs


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    heavy = ("htcondor2", "classad2", "boto3", "botocore", "pydantic", "requests", "fallow")
    script = (
        f"import sys, snakemake_executor_plugin_fallow; print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
