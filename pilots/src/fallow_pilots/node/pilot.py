"""Runs one pilot from its specification to its outcome."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError
from fallow.files import write_private
from fallow.reports import REPORT_SUFFIX
from fallow_pilots.node import condor, layout, processes, sentinel
from fallow_pilots.node.deadline import Deadline
from fallow_pilots.node.history import History, Ran
from fallow_pilots.node.imagerequests import ImageRequests
from fallow_pilots.node.imageuse import ImageUse
from fallow_pilots.node.lifecycle import Asked, End, verdict
from fallow_pilots.node.nodecheck import examine
from fallow_pilots.node.often import OftenUsed
from fallow_pilots.node.pool import Pool
from fallow_pilots.node.report import Reporter, report
from fallow_pilots.node.several import own_part, write_outcome
from fallow_pilots.node.signals import Signals
from fallow_pilots.node.stagerequests import StageRequests
from fallow_pilots.node.supervisor import TICK_S, Supervisor
from fallow_pilots.node.token import TokenCopy
from fallow_pilots.node.way import open_way
from fallow_pilots.nodefindings import NodeCheck, node_file, write_node_check
from fallow_pilots.outcome import Code, Outcome
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

TOKEN_WAIT_S = 120.0
"""How long a pilot waits for a valid token before it gives up."""
CLEANUP_S = 10.0
REPORT_S = 10.0
"""How long the end of a pilot waits for the hub to take its report."""
REPORT_ASKED_S = 3.0
"""The same for one that was asked to leave: somebody waits for the node."""
LOG_LINES = 20


@dataclass
class Life:
    """What is known of the pilot so far, for its outcome and its reports."""

    started: float
    ran: Ran = field(default_factory=Ran)
    offered: tuple[float, int] | None = None
    """Unix time from which the slot was offered, and its cores."""


def run(spec_path: Path, signals: Signals) -> int:
    """Run the pilot that `spec_path` describes; the outcome file says how it went.

    Returns:
        The exit status: 0 when the pilot did what it should, also if it found no work; 1 when node or hub are broken.

    Raises:
        SettingsError: The specification cannot be used, so nobody can be told.
    """
    life = Life(started=time.time())
    whole = PilotSpec.read(spec_path)
    spec = own_part(whole, os.environ)
    processes.adopt_orphans()
    sentinel.start()
    reporter = Reporter(spec)
    place = None
    try:
        place = layout.create(spec.scratch_dir, spec.pilot)
        reporter.way = open_way(spec, place)
        code, reason = _live(spec, spec_path.resolve(), place, signals, life, reporter)
    except FallowError as error:
        code, reason = Code.SITE_BROKEN, str(error)
    except Exception:
        log.exception("pilot %s failed", spec.pilot)
        code, reason = Code.TRANSIENT, "The pilot failed; its log has the details."
    finally:
        reporter.stop()
        processes.end_all(CLEANUP_S)
        if place is not None:
            layout.remove(place)
    outcome = Outcome(
        code=code,
        reason=reason[:2000],
        started=datetime.fromtimestamp(life.started, tz=timezone.utc),
        ended=datetime.now(timezone.utc),
        jobs_run=life.ran.finished,
        busy_core_s=int(life.ran.core_s),
    )
    write_outcome(whole, outcome, os.environ)
    log.info("pilot %s ends with %d: %s", spec.pilot, code, reason)
    if spec.findings_file is None:
        now = time.time()
        last = report(
            spec,
            started=life.started,
            offered=life.offered,
            ran=life.ran,
            idle_s=0,
            now=now,
            outcome=outcome,
        )
        # What the centre itself keeps, to hold the hub's ledger against: `fallow ledger verify`.
        kept = spec.outcome_file.with_name(f"{spec.pilot}{REPORT_SUFFIX}")
        write_private(kept, last.model_dump_json() + "\n")
        reporter.way.keep()
        reporter.send(last)
        reporter.wait(REPORT_S if signals.asked is Asked.NOTHING else REPORT_ASKED_S)
    reporter.way.close()
    return 0 if code < Code.BANNED else 1


def check(spec_path: Path) -> NodeCheck:
    """Look at this node as a pilot would, and take no work.

    Raises:
        FallowError: The specification cannot be used, or there is no scratch directory.
    """
    spec = own_part(PilotSpec.read(spec_path), os.environ)
    processes.adopt_orphans()
    place = layout.create(spec.scratch_dir, spec.pilot)
    try:
        way = open_way(spec, place)
        try:
            return examine(spec, place, os.environ, way).found
        finally:
            way.close()
    finally:
        processes.end_all(CLEANUP_S)
        layout.remove(place)


def _live(
    spec: PilotSpec, spec_path: Path, place: layout.Layout, signals: Signals, life: Life, reporter: Reporter
) -> tuple[Code, str]:
    way = reporter.way
    examined = examine(spec, place, os.environ, way)
    write_node_check(node_file(spec.outcome_file), examined.found)
    if spec.findings_file is not None:
        write_node_check(spec.findings_file, examined.found)
    if examined.programs is None or examined.node is None:
        return Code.SITE_BROKEN, f"This node is not fit for payloads. {examined.trouble}"
    if spec.findings_file is not None:
        return Code.WORK_DONE, "The node was checked."
    token = TokenCopy(spec.token_file, place.tokens)
    if not _wait(lambda: token.refresh(time.time()), TOKEN_WAIT_S, signals):
        if signals.asked is not Asked.NOTHING:
            return Code.ASKED_TO_STOP, "The pilot was asked to stop before it joined the pool."
        return Code.HUB_BROKEN, f"No valid token came to {spec.token_file}: look at the launcher."
    deadline = Deadline(spec, life.started, os.environ)
    until = int(deadline.until(time.time()))
    values = condor.settings(spec, place, examined.programs, examined.node, until)
    place.config.write_text(condor.render(values), encoding="utf-8")
    pool = Pool(place, examined.programs, way, spec.collectors)
    pool.start()
    life.offered = time.time(), examined.node.cores
    # Where scratch is in memory or shared, a directory of many small files would cost more than it brings.
    often = OftenUsed(place) if examined.node.capabilities.get("FallowScratch") == "local" else None
    use = ImageUse(place, spec.image_store_dir, spec.pilot, often)
    use.start()
    supervisor = Supervisor(
        spec=spec,
        pool=pool,
        token=token,
        images=ImageRequests(place, spec_path, way),
        files=StageRequests(place, spec_path, way),
        way=way,
        signals=signals,
        deadline=deadline,
        history=History(place.logs / "history"),
        until=until,
        evict_s=condor.evict_s(spec),
        tell=lambda ran, idle_s: reporter.send(
            report(spec, started=life.started, offered=life.offered, ran=ran, idle_s=idle_s, now=time.time())
        ),
    )
    try:
        seen = supervisor.run()
    finally:
        use.stop()
    life.ran = supervisor.history.look()
    code, reason = verdict(End(jobs_run=life.ran.finished, **vars(seen)))
    if code >= Code.BANNED:
        _show_logs(place.logs)
    return code, reason


def _show_logs(logs: Path) -> None:
    """Put the ends of HTCondor's logs into ours: the directory goes away."""
    for name in ("master.out", "MasterLog", "StartLog"):
        try:
            lines = (logs / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in lines[-LOG_LINES:]:
            log.warning("%s: %s", name, line)


def _wait(good: Callable[[], bool], timeout_s: float, signals: Signals) -> bool:
    deadline = time.monotonic() + timeout_s
    while not good():
        if time.monotonic() >= deadline or signals.asked is not Asked.NOTHING:
            return False
        signals.wait(TICK_S)
    return True
