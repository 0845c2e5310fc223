"""The hub's ledger against what a centre's own pilots wrote down: pure, but for reading the files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from fallow.errors import UsageError
from fallow.ledger.messages import Line
from fallow.reports import REPORT_SUFFIX, JobRun, PilotReport, RunEnd

TICK_S = 2.0
"""What two clocks that tick in seconds, and the way from node to hub, can make of one run."""
TOLERANCE = 0.001
CHARGED = ("done", "failed", "removed")


@dataclass
class Verdict:
    """How far the hub's lines agree with what one pilot wrote."""

    pilot: str
    runs: int = 0
    """Runs that both know."""
    hub_core_s: float = 0.0
    pilot_core_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def read_reports(directory: Path) -> list[PilotReport]:
    """The reports that pilots left below a launcher's `state_dir`, by pilot.

    Raises:
        UsageError: There is none, or one cannot be read.
    """
    found = []
    for path in sorted(directory.rglob(f"*{REPORT_SUFFIX}")):
        try:
            found.append(PilotReport.model_validate_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise UsageError(f"{path} is no pilot's report: {error}.", remedy="Remove it.") from error
    if not found:
        raise UsageError(
            f"No pilot left a report below {directory}.",
            remedy="Name the `state_dir` of your launcher's policy.",
        )
    return found


def verify(report: PilotReport, lines: Iterable[Line]) -> Verdict:
    """Hold the hub's lines of one pilot against the pilot's own report."""
    mine = {_key(run.global_job_id, run.started.timestamp()): run for run in report.runs}
    hubs = {_key(line.global_job_id, line.started.timestamp()): line for line in lines}
    verdict = Verdict(report.pilot)
    for key, line in hubs.items():
        run = mine.get(key)
        if line.outcome == "running":
            verdict.problems.append(f"job {line.job}: the hub says that it still runs")
        elif run is not None:
            _compare(verdict, line, run)
        elif line.outcome in CHARGED and not report.runs_left_out:
            verdict.hub_core_s += line.core_s
            verdict.problems.append(f"job {line.job}: the hub has a run that the pilot does not know")
    for key, run in mine.items():
        if key not in hubs and run.outcome in (RunEnd.DONE, RunEnd.FAILED):
            verdict.pilot_core_s += _held(run)
            verdict.problems.append(f"job {run.job}: the hub does not have this run")
    return verdict


def share(verdicts: Sequence[Verdict]) -> float:
    """The difference of the two views as a share of what the pilots wrote."""
    differ = sum(abs(one.hub_core_s - one.pilot_core_s) for one in verdicts if not one.good)
    return differ / max(1.0, sum(one.pilot_core_s for one in verdicts))


def _key(global_job_id: str, started: float) -> tuple[str, int]:
    return global_job_id, int(started)


def _held(run: JobRun) -> float:
    return (run.ended - run.started).total_seconds() * (run.gpus or run.cores)


def _compare(verdict: Verdict, line: Line, run: JobRun) -> None:
    verdict.runs += 1
    ran_s, hub_s = (run.ended - run.started).total_seconds(), line.wall_s or 0.0
    if line.outcome in CHARGED:
        verdict.hub_core_s += line.core_s
        verdict.pilot_core_s += _held(run)
        if (line.gpus or line.cores) != (run.gpus or run.cores):
            verdict.problems.append(
                f"job {line.job}: {line.gpus or line.cores} cores at the hub, {run.gpus or run.cores} here"
            )
        elif abs(hub_s - ran_s) > max(TICK_S, TOLERANCE * ran_s):
            verdict.problems.append(f"job {line.job}: {hub_s:.0f} s at the hub, {ran_s:.0f} s here")
    elif run.outcome in (RunEnd.DONE, RunEnd.FAILED):
        verdict.pilot_core_s += _held(run)
        verdict.problems.append(f"job {line.job}: {line.outcome} at the hub, {run.outcome.value} here")
