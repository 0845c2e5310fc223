"""What of a Snakemake job goes to the queue: its request, its images, its program."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallow.errors import UsageError
from fallow.queue import JobSpec
from snakemake_executor_plugin_fallow.backend import Entry
from snakemake_executor_plugin_fallow.containers import (
    conda_rules,
    image_arguments,
    links,
    rule_images,
    uses_conda,
    uses_containers,
    without_conda,
)
from snakemake_executor_plugin_fallow.keys import Identity, identity_of, stored_inputs
from snakemake_executor_plugin_fallow.payload import Payload, Sources
from snakemake_executor_plugin_fallow.resources import request
from snakemake_executor_plugin_fallow.spool import PROGRAM

if TYPE_CHECKING:
    from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

    from snakemake_executor_plugin_fallow.federation import Federated

_CONDA_REMEDY = "Give the rule a container: instead, or jobs an image with conda (--fallow-image)."


class Translation:
    """Makes entries of the jobs of one workflow.

    Args:
        workflow: Snakemake's.
        federated: Where the jobs go.
        run: The run's id.
        records: Directory that the queue's log of a job is in.
        sources: The workflow's own files, as jobs fetch them.
        environment: Gives the variables that jobs are to have.
        arguments: Gives the arguments of the Snakemake in a job, for so many cores.
        key: Gives the key of a job's next submission.
    """

    def __init__(
        self,
        workflow: Any,
        federated: Federated,
        *,
        run: str,
        records: Path,
        sources: Sources,
        environment: Callable[[], Mapping[str, str]],
        arguments: Callable[[Any, int], list[str]],
        key: Callable[[Identity], str],
    ) -> None:
        self._workflow = workflow
        self._federated = federated
        self._run = run
        self._records = records
        self._sources = sources
        self._environment = environment
        self._arguments = arguments
        self._key = key
        self._directory = Path.cwd()
        """The workflow's, asked for once: of a thousand jobs that is felt."""
        self._no_conda: str | None = None
        """What the first job said that looked for conda in the image and found none."""

    def entry(self, info: SubmittedJobInfo) -> Entry:
        """A job of Snakemake's on its way to the queue.

        Raises:
            FallowError: It cannot run there; in words for its user.
            ValidationError: What it asks for cannot be written down.
        """
        job = info.job
        asked = request(job.name, job.threads, job.resources, self._federated.defaults)
        members = list(job.jobs) if job.is_group() else [job]
        images = rule_images(members, self._directory) if uses_containers(self._workflow) else []
        digests = {
            image.link: self._federated.resolve(image.named)
            if image.named
            else self._federated.publish(image.file)
            for image in images
        }
        conda = conda_rules(members) if uses_conda(self._workflow) else []
        if conda and self._no_conda:
            raise UsageError(self._no_conda, remedy=_CONDA_REMEDY)
        arguments = [*self._arguments(job, asked.cores), *image_arguments(images)]
        if not conda:
            arguments = without_conda(arguments)
        precommand = self._workflow.remote_execution_settings.precommand
        # What all jobs of this workflow share and what makes them others when it changes.
        shared = [self._sources.sha256, self._federated.image, precommand]
        identity = identity_of(members, arguments, shared)
        spec = JobSpec(
            run=self._run,
            key=self._key(identity),
            name=_title(job),
            image=self._federated.image,
            architecture=self._federated.architecture({self._federated.image, *digests.values()}),
            images=tuple(sorted(set(digests.values()))),
            argv=("python", PROGRAM),
            directory=self._records,
            cores=asked.cores,
            memory_mb=asked.memory_mb,
            disk_mb=asked.disk_mb,
            walltime_s=asked.walltime_s,
            gpus=asked.gpus,
            work_type=asked.work_type,
            project=asked.project,
            centre=asked.centre,
            requirements=asked.requirements,
            image_source=asked.image_source,
            network=asked.network,
        )
        payload = Payload(
            arguments=arguments,
            sources=self._sources,
            precommand=precommand or "",
            environment=self._environment(),
            links=links(digests),
            conda=conda,
            inputs=stored_inputs(members),
            logs=[str(path) for member in members for path in member.log],
        )
        return Entry(info, job.name, identity, spec, payload, since=time.monotonic())

    def found_no_conda(self, message: str) -> str:
        """Refuse further jobs that need conda, with `message`; returns it with what to do."""
        self._no_conda = message
        return f"{message} {_CONDA_REMEDY}"


def _title(job: Any) -> str:
    """What a person calls the job: rule and wildcards."""
    if job.is_group():
        return f"group {job.groupid}: {', '.join(sorted(job.rules))}"[:200]
    wildcards = ", ".join(f"{name}={value}" for name, value in job.wildcards_dict.items())
    title = f"{job.name} ({wildcards})" if wildcards else job.name
    return "".join(letter if letter.isprintable() else "?" for letter in title).replace("$$", "$")[:200]
