"""One pilot before it exists: the batch job that is submitted, and what the pilot is told."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from fallow.messages import Federation
from fallow_pilots.batch.model import BatchJob, BatchSystem
from fallow_pilots.caps import Lot
from fallow_pilots.conditions import conditions_of
from fallow_pilots.layout import Layout, PilotFiles
from fallow_pilots.policy import Policy, Shape
from fallow_pilots.spec import PilotSpec


def node_program() -> Path:
    """The program that is a pilot, as it is installed beside this one."""
    return Path(sys.executable).parent / "fallow-pilot-node"


def node_command(policy: Policy) -> Path:
    """The program that is a pilot, on compute nodes."""
    return policy.assume.node_command or node_program()


def lay_out(batch: BatchSystem, job: BatchJob, spec: PilotSpec) -> None:
    """Write what the pilot is told and its batch script into its directory.

    Raises:
        OSError: The files could not be written.
    """
    spec.write(job.spec)
    job.script.write_text(batch.script(job), encoding="utf-8")
    job.script.chmod(0o700)


def submit(batch: BatchSystem, job: BatchJob, spec: PilotSpec) -> str:
    """Make the pilot's directory with all that it needs, and submit it; its native id.

    Raises:
        BatchError: The batch system did not take it, or did not say so.
        OSError: The files could not be written.
    """
    job.spec.parent.mkdir(mode=0o700)
    lay_out(batch, job, spec)
    return batch.submit(job)


def batch_job(
    files: PilotFiles,
    pilot: str,
    command: Path,
    asked: Shape | PilotSpec,
    *,
    nodes: int,
    gpu_model: str | None,
    walltime_s: int,
    drain_grace_s: int,
    deadline: datetime | None,
) -> BatchJob:
    """A pilot as a batch job of the account whose `files` these are; see `BatchJob`. `asked` has the sizes on each node."""
    return BatchJob(
        name=files.job_name(pilot),
        node_command=command,
        spec=files.spec(pilot),
        script=files.script(pilot),
        log=files.log(pilot),
        cores=asked.cores,
        memory_mb=asked.memory_mb,
        gpus=asked.gpus,
        walltime_s=walltime_s,
        drain_grace_s=drain_grace_s,
        deadline=deadline,
        nodes=nodes,
        gpu_model=gpu_model,
    )


def job_of_lot(policy: Policy, layout: Layout, pilot: str, lot: Lot, closes: datetime | None) -> BatchJob:
    """A pilot of `lot` as a batch job; it must have ended when its window `closes`."""
    return batch_job(
        layout,
        pilot,
        node_command(policy),
        lot.shape,
        nodes=lot.shape.nodes,
        gpu_model=lot.shape.gpu_model,
        walltime_s=lot.walltime_s,
        drain_grace_s=policy.pilot.drain_grace_s,
        deadline=closes,
    )


def pilot_spec(policy: Policy, layout: Layout, pilot: str, lot: Lot, federation: Federation) -> PilotSpec:
    """What a pilot of `lot` is told; sizes are those on each of its nodes."""
    shape = lot.shape
    return PilotSpec(
        pilot=pilot,
        centre=policy.identity.centre,
        hub=policy.identity.hub,
        other_hub=policy.identity.other_hub,
        ca_file=policy.identity.ca_file,
        collector=federation.collector,
        other_collector=next(
            (hub.collector for hub in federation.hubs if hub.collector != federation.collector), None
        ),
        trust_domain=federation.trust_domain,
        token_file=layout.token,
        outcome_file=layout.outcome(pilot),
        cores=shape.cores,
        memory_mb=shape.memory_mb,
        disk_mb=shape.disk_mb,
        gpus=shape.gpus,
        whole_node="--exclusive" in policy.batch.options,
        walltime_s=lot.walltime_s,
        idle_exit_s=policy.pilot.idle_exit_s,
        drain_grace_s=policy.pilot.drain_grace_s,
        scratch_dir=policy.assume.scratch_dir,
        image_store_dir=policy.image_store_dir,
        image_quota_mb=policy.assume.image_quota_mb,
        image_copies=policy.assume.image_copies,
        image_signers=policy.assume.image_signers,
        way_file=layout.way,
        cvmfs=policy.assume.cvmfs,
        cvmfs_copies={copy.repository: copy.directory for copy in policy.assume.cvmfs_copies},
        images=policy.conditions.digests,
        registries=policy.conditions.registries,
        registry_ca_file=policy.assume.registry_ca_file,
        network=policy.conditions.outbound_network,
        conditions=tuple(clause.requirement for clause in conditions_of(policy)),
    )
