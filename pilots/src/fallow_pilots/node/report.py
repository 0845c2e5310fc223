"""Tells the hub what the pilot did: `python -m fallow_pilots.node.report SPEC < REPORT`, a process of its own.

The hub may be slow or away; neither may keep the pilot from its signals, nor delay its end by more than a few seconds.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from fallow.reports import MAX_RUNS, JobRun, PilotReport
from fallow_pilots.node.history import Run
from fallow_pilots.outcome import Outcome
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

LONGEST_S = 90.0
"""A report that takes longer is given up; the next one says all of it again."""


def moment(unix_s: float) -> datetime:
    """A moment in UTC."""
    return datetime.fromtimestamp(unix_s, timezone.utc)


def report(
    spec: PilotSpec,
    *,
    started: float,
    offered: tuple[float, int] | None,
    runs: Sequence[Run],
    idle_s: float,
    now: float,
    outcome: Outcome | None = None,
) -> PilotReport:
    """The pilot until now.

    Args:
        spec: What the launcher asked for.
        started: Unix time at which the pilot started.
        offered: Unix time from which it offered a slot, and the slot's cores; None where it never did.
        runs: What ran here; a job that still runs is not among them.
        idle_s: Seconds in which nothing ran.
        now: Unix time.
        outcome: How it ended, at its end.
    """
    since, cores = offered or (now, 0)
    offered_core_s = int(max(0.0, now - since) * cores)
    used_core_s = min(offered_core_s, int(sum(run.wall_s * run.cores for run in runs)))
    idle_core_s = (
        offered_core_s - used_core_s if outcome else min(offered_core_s - used_core_s, int(idle_s * cores))
    )
    listed = [known for run in runs[-MAX_RUNS:] if (known := _job_run(run)) is not None]
    return PilotReport(
        pilot=spec.pilot,
        centre=spec.centre,
        written=moment(now),
        started=moment(started),
        ended=outcome.ended if outcome else None,
        code=outcome.code if outcome else None,
        reason=" ".join(outcome.reason.split()) if outcome else "",
        jobs_run=sum(run.finished for run in runs),
        offered_core_s=offered_core_s,
        used_core_s=used_core_s,
        idle_core_s=idle_core_s,
        runs=listed,
        runs_left_out=len(runs) - len(listed),
    )


def _job_run(run: Run) -> JobRun | None:
    try:
        return JobRun(
            job=run.job,
            global_job_id=run.global_job_id,
            started=moment(run.started),
            ended=moment(run.ended),
            cores=run.cores,
            gpus=run.gpus,
            outcome=run.end,
            exit_code=run.exit_code,
        )
    except ValidationError as error:
        log.warning("a run cannot be reported: %s", error.errors(include_url=False, include_input=False))
        return None


class Reporter:
    """Sends reports, one at a time.

    Args:
        spec: What the launcher asked for.
        spec_path: Where it lies.
    """

    def __init__(self, spec: PilotSpec, spec_path: Path) -> None:
        self._argv = [sys.executable, "-m", "fallow_pilots.node.report", str(spec_path)]
        self.environment = environment(spec)
        self._running: subprocess.Popen[str] | None = None

    def send(self, what: PilotReport) -> None:
        """Begin to send; the last report, if it is still on its way, is given up."""
        self.stop()
        try:
            self._running = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, text=True, env=self.environment, start_new_session=True
            )
            if self._running.stdin is not None:
                self._running.stdin.write(what.model_dump_json())
                self._running.stdin.close()
        except OSError as error:
            log.warning("no report was sent: %s", error)

    def wait(self, limit_s: float) -> None:
        """Wait until the report is sent, at most so long."""
        if self._running is not None:
            try:
                self._running.wait(limit_s)
            except subprocess.TimeoutExpired:
                log.warning("the hub did not take the report within %.0f s", limit_s)
            self.stop()

    def stop(self) -> None:
        """Give up what is on its way."""
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait()
        self._running = None


def environment(spec: PilotSpec) -> Mapping[str, str]:
    """The environment of processes that speak with the hub: ours, and the proxy that the node needs."""
    return {**os.environ, **({"HTTPS_PROXY": spec.proxy, "https_proxy": spec.proxy} if spec.proxy else {})}


def main(arguments: list[str] | None = None) -> int:
    """Entry point; a failure is one line on standard error and a status other than 0."""
    from fallow.client import ClientSettings
    from fallow.errors import FallowError
    from fallow.files import read_private
    from fallow.hub import HubClient

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    (path,) = sys.argv[1:] if arguments is None else arguments
    try:
        spec = PilotSpec.read(Path(path))

        def token() -> str:
            return (read_private(spec.token_file) or "").strip()

        what = PilotReport.model_validate_json(sys.stdin.read())
        HubClient(ClientSettings(hub=spec.hub, ca_file=spec.ca_file), token=token).send_report(what)
    except (FallowError, ValueError) as error:
        log.error("the report was not sent: %s", error)  # noqa: TRY400 - a sentence for the site admin, no traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
