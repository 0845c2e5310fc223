"""Several nodes in one batch job: on each runs a pilot of its own, and their outcomes make one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from fallow.errors import FallowError
from fallow.files import read_private, write_private
from fallow_pilots.outcome import Code, Outcome
from fallow_pilots.spec import PilotSpec

STEPS = (("SLURM_NODEID", "SLURM_STEP_NUM_NODES"), ("FALLOW_NODE", "FALLOW_NODES"))
"""The node's number, from 0, and how many nodes there are: as Slurm tells a step, and as our batch script tells where PBS
does not."""


def part(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """This node's number and the number of nodes; None where there is but one."""
    for names in STEPS:
        number, nodes = (environment.get(name, "") for name in names)
        if number.isdigit() and nodes.isdigit() and int(nodes) > 1:
            return int(number), int(nodes)
    return None


def own_part(spec: PilotSpec, environment: Mapping[str, str]) -> PilotSpec:
    """The specification of this node's pilot: `<pilot>n<number>`, as the hub lets a centre name its pilots."""
    here = part(environment)
    return spec if here is None else spec.model_copy(update={"pilot": f"{spec.pilot}n{here[0]}"})


def outcome_of_node(outcome_file: Path, number: int) -> Path:
    """Where the pilot of one node of several leaves its outcome."""
    return outcome_file.with_name(f"outcome-{number}.json")


def write_outcome(spec: PilotSpec, outcome: Outcome, environment: Mapping[str, str]) -> None:
    """Leave this pilot's outcome; the last of several nodes leaves that of them all.

    Args:
        spec: What the launcher asked for.
        outcome: How this pilot ended.
        environment: The batch job's environment.
    """
    here = part(environment)
    if here is None:
        write_private(spec.outcome_file, outcome.model_dump_json() + "\n")
        return
    number, nodes = here
    write_private(outcome_of_node(spec.outcome_file, number), outcome.model_dump_json() + "\n")
    found = [_read(outcome_of_node(spec.outcome_file, each)) for each in range(nodes)]
    known = [one for one in found if one is not None]
    if len(known) == nodes:
        write_private(spec.outcome_file, together(known).model_dump_json() + "\n")


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for several nodes: asked to stop if one was, work done if one did any, else the worst."""
    codes = [outcome.code for outcome in outcomes]
    good = [code for code in (Code.ASKED_TO_STOP, Code.WORK_DONE) if code in codes]
    code = good[0] if good else max(codes)
    chosen = next(outcome for outcome in outcomes if outcome.code == code)
    alike = codes.count(code)
    return Outcome(
        code=code,
        reason=f"{alike} of {len(codes)} nodes: {chosen.reason}"[:2000],
        started=min(outcome.started for outcome in outcomes),
        ended=max(outcome.ended for outcome in outcomes),
        jobs_run=sum(outcome.jobs_run for outcome in outcomes),
        busy_core_s=sum(outcome.busy_core_s for outcome in outcomes),
    )


def _read(path: Path) -> Outcome | None:
    try:
        text = read_private(path)
        return None if text is None else Outcome.model_validate_json(text)
    except (FallowError, ValidationError):
        return None
