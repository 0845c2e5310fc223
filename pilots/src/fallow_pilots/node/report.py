"""Tells the hub what the pilot did."""

from __future__ import annotations

import logging
import os
import signal
import time
from datetime import datetime, timezone

from pydantic import ValidationError

from fallow.errors import FallowError
from fallow.reports import JobRun, PilotReport
from fallow_pilots.node.history import Ran, Run
from fallow_pilots.node.hub import hub_of
from fallow_pilots.node.signals import restore_signals
from fallow_pilots.node.way import Way
from fallow_pilots.outcome import Outcome
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)


def moment(unix_s: float) -> datetime:
    """A moment in UTC."""
    return datetime.fromtimestamp(unix_s, timezone.utc)


def report(
    spec: PilotSpec,
    *,
    started: float,
    offered: tuple[float, int] | None,
    ran: Ran,
    idle_s: float,
    now: float,
    outcome: Outcome | None = None,
) -> PilotReport:
    """The pilot until now.

    Args:
        spec: What the launcher asked for.
        started: Unix time at which the pilot started.
        offered: Unix time from which it offered a slot, and the slot's cores; None where it never did.
        ran: What ran here; a job that still runs is not among it.
        idle_s: Seconds in which nothing ran.
        now: Unix time.
        outcome: How it ended, at its end.
    """
    since, cores = offered or (now, 0)
    offered_core_s = int(max(0.0, now - since) * cores)
    used_core_s = min(offered_core_s, int(ran.core_s))
    idle_core_s = (
        offered_core_s - used_core_s if outcome else min(offered_core_s - used_core_s, int(idle_s * cores))
    )
    listed = [known for run in ran.newest if (known := _job_run(run)) is not None]
    return PilotReport(
        pilot=spec.pilot,
        centre=spec.centre,
        written=moment(now),
        started=moment(started),
        ended=outcome.ended if outcome else None,
        code=outcome.code if outcome else None,
        reason=" ".join(outcome.reason.split()) if outcome else "",
        jobs_run=ran.finished,
        offered_core_s=offered_core_s,
        used_core_s=used_core_s,
        idle_core_s=idle_core_s,
        runs=listed,
        runs_left_out=ran.count - len(listed),
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
    """Sends reports, one at a time, each in a process of its own.

    The hub may be slow or away; neither may keep the pilot from its signals, nor delay its end by more than a few seconds.

    Args:
        spec: What the launcher asked for.
    """

    def __init__(self, spec: PilotSpec) -> None:
        self._spec = spec
        self.way = Way()
        self._process: int | None = None

    def send(self, what: PilotReport) -> None:
        """Begin to send; the last report, if it is still on its way, is given up."""
        self.stop()
        self._process = os.fork()
        if self._process == 0:
            try:
                restore_signals()
                self.way.enter()
                _deliver(self._spec, what)
            finally:
                os._exit(0)

    def wait(self, limit_s: float) -> None:
        """Wait until the report is sent, at most so long."""
        deadline = time.monotonic() + limit_s
        while not self._ended():
            if time.monotonic() >= deadline:
                log.warning("the hub did not take the report within %.0f s", limit_s)
                break
            time.sleep(0.02)
        self.stop()

    def stop(self) -> None:
        """Give up what is on its way."""
        if not self._ended() and self._process is not None:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        self._process = None

    def _ended(self) -> bool:
        if self._process is not None:
            try:
                if os.waitpid(self._process, os.WNOHANG)[0] == 0:
                    return False
            except ChildProcessError:
                pass  # reaped with the others
            self._process = None
        return True


def _deliver(spec: PilotSpec, what: PilotReport) -> None:
    try:
        hub_of(spec).send_report(what)
    except FallowError as error:
        log.warning("the report was not sent: %s", error)
