"""The plugin's settings. Snakemake makes command-line arguments of them: types must be plain `Optional[str]`."""

from dataclasses import dataclass, field
from typing import Optional

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]
    """What a user may choose; everything else is learned from the hub."""

    image: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Image that jobs run in, with Snakemake and the storage plugin: a local SIF file, or the digest "
            "(sha256:…) or a tag (fallow://OWNER/NAME:TAG) of one that the hub has.",
            "env_var": True,
        },
    )
    work_type: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Work type of all jobs: urgent, production, analysis or test; if omitted, the hub decides. "
            "The resource fallow_work_type of a rule wins.",
            "env_var": True,
        },
    )
    project: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Project that all jobs belong to, of which the hub knows you as a member. "
            "The resource fallow_project of a rule wins.",
            "env_var": True,
        },
    )
    centre: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Run all jobs at this centre only. The resource fallow_centre of a rule wins.",
            "env_var": True,
        },
    )
    requirements: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "ClassAd expression that every slot must fulfil. "
            "The resource fallow_requirements of a rule wins.",
            "env_var": True,
        },
    )
    image_source: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Repositories oras://… that hold the jobs' images, separated by blanks: centres may fetch them there. "
            "The resource fallow_image_source of a rule wins.",
            "env_var": True,
        },
    )
    network: Optional[str] = field(  # noqa: UP045
        default="true",
        metadata={
            "help": "Whether jobs need a network beyond their own input and output: true or false; some centres take "
            "only jobs that need none. The resource fallow_network of a rule wins.",
            "env_var": True,
        },
    )
    storage: Optional[str] = field(  # noqa: UP045
        default="workflow",
        metadata={
            "help": "What of your storage jobs may read and write: workflow (what is below the default storage "
            "prefix) or all.",
            "env_var": True,
        },
    )
    resubmissions: Optional[str] = field(  # noqa: UP045
        default="3",
        metadata={
            "help": "How often a job that the infrastructure lost is submitted again; that spends none of the "
            "rule's retries.",
            "env_var": True,
        },
    )

    def __post_init__(self) -> None:
        # Snakemake makes this object before it opens any storage, also for a dry run: the last moment at
        # which the federation's S3 access can be put where boto3 looks for it.
        from snakemake_executor_plugin_fallow.dryrun import listen
        from snakemake_executor_plugin_fallow.recovery import recover_here
        from snakemake_executor_plugin_fallow.resources import DEFAULTS
        from snakemake_executor_plugin_fallow.storage import provide_access

        provide_access()
        recover_here()
        listen({name: getattr(self, name) for name in DEFAULTS})
