"""Clauses that contradict each other: of any two that leave nothing to start or to take, both are named.

A cap of zero is no contradiction: it is how a centre gives nothing of a kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from fallow_pilots.windows import longest_s

if TYPE_CHECKING:
    from fallow_pilots.policy import Policy
    from fallow_pilots.policy.shapes import Shape

MONDAY = date(2026, 1, 5)
"""A week without clock changes, to measure windows in."""


def contradictions(policy: Policy) -> list[str]:
    """One sentence for each pair of clauses that cannot both be meant."""
    return [*_shapes(policy), *_times(policy), *_conditions(policy), *_accounts(policy), *_copies(policy)]


def _shapes(policy: Policy) -> Iterator[str]:
    for name, shape in _named(policy):
        for clause, unit, needs in (
            ("max_nodes", "nodes", shape.nodes),
            ("max_cores", "cores", shape.all_cores),
            ("max_gpus", "gpus", shape.all_gpus),
        ):
            limit = getattr(policy.limits, clause)
            if limit is not None and 0 < limit < needs:
                each = f" on pilot.nodes = {shape.nodes}" if shape.nodes > 1 and unit != "nodes" else ""
                asked = f"{name}.{unit} = {getattr(shape, unit)}{each}"
                yield f"limits.{clause} = {limit} contradicts {asked}: no pilot fits"
        hours, walltime_s = policy.limits.core_hours_per_day, policy.pilot.walltime_s
        if hours is not None and 0 < hours * 3600 < shape.all_cores * walltime_s:
            yield (
                f"limits.core_hours_per_day = {hours} contradicts {name}.cores = {shape.cores} "
                f"for pilot.walltime_s = {walltime_s}: no pilot fits"
            )


def _named(policy: Policy) -> Iterator[tuple[str, Shape]]:
    yield "pilot", policy.pilot
    for index, shape in enumerate(policy.pilot.other_shapes):
        yield f"pilot.other_shapes.{index}", shape


def _times(policy: Policy) -> Iterator[str]:
    pilot, when = policy.pilot, policy.when
    if pilot.min_walltime_s > pilot.walltime_s:
        yield f"pilot.min_walltime_s = {pilot.min_walltime_s} contradicts pilot.walltime_s = {pilot.walltime_s}"
    if pilot.idle_exit_s >= pilot.walltime_s:
        yield f"pilot.idle_exit_s = {pilot.idle_exit_s} contradicts pilot.walltime_s = {pilot.walltime_s}"
    if pilot.drain_grace_s >= pilot.min_walltime_s:
        yield (
            f"pilot.drain_grace_s = {pilot.drain_grace_s} contradicts pilot.min_walltime_s = "
            f"{pilot.min_walltime_s}: such a pilot would drain from its first second"
        )
    if policy.backoff.fizzle_s <= pilot.idle_exit_s:
        yield (
            f"backoff.fizzle_s = {policy.backoff.fizzle_s} contradicts pilot.idle_exit_s = "
            f"{pilot.idle_exit_s}: a canary without work would count as a success"
        )
    longest = longest_s(when.windows, when.time_zone, MONDAY)
    if longest is not None and longest < pilot.min_walltime_s:
        yield (
            f"when.windows are open for {longest:.0f} s at most, which contradicts "
            f"pilot.min_walltime_s = {pilot.min_walltime_s}: no pilot would ever start"
        )
    if when.only_backfill and pilot.other_shapes:
        yield "when.only_backfill contradicts pilot.other_shapes: the batch system is asked about one shape"
    if when.only_backfill and policy.batch.system != "slurm":
        yield (
            f'when.only_backfill = true contradicts batch.system = "{policy.batch.system}": '
            "only Slurm says when a job would start"
        )
    if policy.batch.system in {"fork", "htcondor"}:
        if any(shape.nodes > 1 for shape in pilot.shapes):
            yield f'pilot.nodes contradicts batch.system = "{policy.batch.system}": its jobs have one node'
        if when.queue_partitions:
            yield f'when.queue_partitions contradicts batch.system = "{policy.batch.system}": it has no queues'


def _conditions(policy: Policy) -> Iterator[str]:
    wanted, pilot = policy.conditions, policy.pilot
    for name in ("work_types", "centres", "projects"):
        both = sorted(set(getattr(wanted, name)) & set(getattr(wanted, f"refused_{name}")))
        if both:
            yield f"conditions.{name} contradicts conditions.refused_{name}: both name {', '.join(both)}"
    if wanted.max_job_s is not None and wanted.max_job_s > pilot.job_s:
        yield (
            f"conditions.max_job_s = {wanted.max_job_s} contradicts pilot.walltime_s = {pilot.walltime_s} "
            f"less pilot.drain_grace_s = {pilot.drain_grace_s}: no pilot lives long enough for such a job"
        )
    if wanted.gpu_models and not any(shape.gpus for shape in pilot.shapes):
        yield "conditions.gpu_models contradicts pilot.gpus = 0: no pilot has a GPU"


def _copies(policy: Policy) -> Iterator[str]:
    if policy.assume.cvmfs and policy.assume.cvmfs_copies:
        yield "assume.cvmfs contradicts assume.cvmfs_copies: nodes mount repositories, or have copies"
    for copy in policy.assume.cvmfs_copies:
        place = copy.directory
        for name, secret in (
            ("state_dir", policy.state_dir),
            ("identity.token_file", policy.identity.token_file),
        ):
            if place == secret or place in secret.parents or secret in place.parents:
                yield f"assume.cvmfs_copies in {place} contradicts {name} = {secret}: payloads would see secrets"


def _accounts(policy: Policy) -> Iterator[str]:
    accounts = policy.accounts
    if not accounts.people:
        return
    if policy.network.profile == "files":
        yield 'accounts.people contradicts network.profile = "files": its files are of one account'
    if policy.assume.node_command is not None:
        yield (
            f"assume.node_command = {policy.assume.node_command} contradicts accounts.people: under people's accounts "
            "only the fallow-pilot-node beside fallow-pilot-deputy runs"
        )
    if policy.when.only_backfill and not accounts.launcher_too:
        yield (
            "when.only_backfill contradicts accounts.people: the batch system is asked under the launcher's own "
            "account, which accounts.launcher_too = false keeps without pilots"
        )
    charged = [person.account for person in accounts.people if person.batch_account]
    if charged and policy.batch.system == "fork":
        yield f'accounts.people: batch_account of {charged[0]} contradicts batch.system = "fork": it charges nobody'
