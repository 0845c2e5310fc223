"""One pilot before it exists: the batch job that is submitted, and what the pilot is told."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from fallow.messages import Federation
from fallow_pilots.batch.model import BatchJob
from fallow_pilots.caps import Lot
from fallow_pilots.conditions import conditions_of
from fallow_pilots.layout import Layout
from fallow_pilots.policy import Policy
from fallow_pilots.spec import PilotSpec


def node_command(policy: Policy) -> Path:
    """The program that is a pilot, on compute nodes."""
    return policy.assume.node_command or Path(sys.executable).parent / "fallow-pilot-node"


def batch_job(policy: Policy, layout: Layout, pilot: str, lot: Lot, closes: datetime | None) -> BatchJob:
    """A pilot of `lot` as a batch job; it must have ended when its window `closes`."""
    shape = lot.shape
    return BatchJob(
        name=layout.job_name(pilot),
        node_command=node_command(policy),
        spec=layout.spec(pilot),
        script=layout.script(pilot),
        log=layout.log(pilot),
        cores=shape.cores,
        memory_mb=shape.memory_mb,
        gpus=shape.gpus,
        walltime_s=lot.walltime_s,
        drain_grace_s=policy.pilot.drain_grace_s,
        deadline=closes,
        nodes=shape.nodes,
        gpu_model=shape.gpu_model,
    )


def pilot_spec(policy: Policy, layout: Layout, pilot: str, lot: Lot, federation: Federation) -> PilotSpec:
    """What a pilot of `lot` is told; sizes are those on each of its nodes."""
    shape = lot.shape
    return PilotSpec(
        pilot=pilot,
        centre=policy.identity.centre,
        hub=policy.identity.hub,
        ca_file=policy.identity.ca_file,
        collector=federation.collector,
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
        proxy=policy.assume.proxy,
        relay_file=layout.relay if policy.network.profile == "relay" else None,
        cvmfs=policy.assume.cvmfs,
        images=policy.conditions.digests,
        registries=policy.conditions.registries,
        registry_ca_file=policy.assume.registry_ca_file,
        network=policy.conditions.outbound_network,
        conditions=tuple(clause.requirement for clause in conditions_of(policy)),
    )
