"""A batch of job specifications as one submit description with one row of item data per job. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fallow.images.architecture import requirement
from fallow.queue.literals import arguments, checked, environment, expression, literal, macro_safe
from fallow.queue.spec import JobSpec, image_path

LEASE_S = 180
"""How long a job waits for a pilot that vanished without a word; also how long an outage of the hub it outlives."""

KEPT_S = 3 * 86400
"""How long a finished job waits in the queue for its client to take the result."""

_COMMON = {
    "universe": "container",
    "container_image": "$(f_image)",
    "transfer_container": "false",
    "executable": "/usr/bin/env",
    "transfer_executable": "false",
    "should_transfer_files": "YES",
    "when_to_transfer_output": "ON_EXIT",
    "transfer_input_files": "$(f_inputs)",
    "transfer_output_files": '""',
    "initialdir": "$(f_directory)",
    "output": "stdout",
    "error": "stderr",
    "notification": "never",
    "priority": "$(f_priority)",
    "request_cpus": "$(f_cores)",
    "request_memory": "$(f_memory)",
    "request_disk": "$(f_disk)",
    "request_gpus": "$(f_gpus)",
    "requirements": "$(f_requirements)",
    "job_lease_duration": str(LEASE_S),
    "allowed_execute_duration": "$(f_walltime)",
    "job_machine_attrs": "FallowCentre,FallowPilot",
    "job_machine_attrs_history_length": "3",
    "leave_in_queue": f"JobStatus == 4 && FallowTaken =!= true && time() - CompletionDate < {KEPT_S}",
    "MY.Arguments": "$(f_arguments)",
    "MY.Environment": "$(f_environment)",
    "MY.FallowRun": "$(f_run)",
    "MY.FallowKey": "$(f_key)",
    "MY.FallowName": "$(f_name)",
    "MY.FallowWalltime": "$(f_walltime)",
    "MY.FallowWorkType": "$(f_work_type)",
    "MY.FallowImages": "$(f_images)",
    "MY.FallowImageSource": "$(f_image_source)",
    "MY.FallowProject": "$(f_project)",
    "MY.FallowNetwork": "$(f_network)",
    "MY.FallowNotes": "$(f_notes)",
}


def description(specs: Sequence[JobSpec]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The submit description that all of `specs` share, and one row of item data for each, in order.

    Raises:
        UsageError: A value of a specification cannot be expressed; the message names the job.
    """
    return dict(_COMMON), [_row(spec) for spec in specs]


def _row(spec: JobSpec) -> dict[str, str]:
    where = f"Job {spec.name!r}:"
    for word in (*spec.argv, *spec.environment.values(), str(spec.directory), *map(str, spec.input_files)):
        checked(word, what=f"{where} its command, environment or a path")
    return {
        "f_image": image_path(spec.image),
        "f_directory": macro_safe(str(spec.directory)),
        "f_inputs": macro_safe(",".join(map(str, spec.input_files))),
        "f_priority": str(spec.priority),
        "f_cores": str(spec.cores),
        "f_memory": str(spec.memory_mb),
        "f_disk": f"{spec.disk_mb * 1024}",
        "f_gpus": str(spec.gpus) if spec.gpus else "undefined",
        "f_walltime": str(spec.walltime_s),
        "f_requirements": macro_safe(_requirements(spec)),
        "f_arguments": literal(arguments(spec.argv), what=f"{where} its command"),
        "f_environment": literal(environment(spec.environment), what=f"{where} its environment"),
        "f_run": literal(spec.run, what=f"{where} its run"),
        "f_key": literal(spec.key, what=f"{where} its key"),
        "f_name": literal(spec.name, what=f"{where} its name"),
        "f_work_type": literal(spec.work_type) if spec.work_type else "undefined",
        "f_image_source": literal(" ".join(spec.image_source)) if spec.image_source else "undefined",
        "f_project": literal(spec.project) if spec.project else "undefined",
        "f_network": "true" if spec.network else "false",
        "f_notes": literal(spec.notes) if spec.notes else "undefined",
        "f_images": literal(" ".join(spec.images)) if spec.images else "undefined",
    }


def _requirements(spec: JobSpec) -> str:
    # asked here, else HTCondor asks for the architecture of the machine that submits
    clauses = [requirement(spec.architecture)]
    if spec.centre:
        clauses.append(
            expression(f'TARGET.FallowCentre == "{spec.centre}"')
        )  # the name's alphabet has no quote
    if spec.requirements:
        clauses.append(expression(spec.requirements, what=f"Job {spec.name!r}: its requirements"))
    return " && ".join(f"({clause})" for clause in clauses)
