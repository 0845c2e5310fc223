"""Runs one pilot from its specification to its outcome."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable

from fallow.errors import FallowError, NotAvailableError
from fallow.files import write_private
from fallow_pilots.node import checks, condor, history, isolation, launcher, layout, processes
from fallow_pilots.node.clock import end_of_allocation
from fallow_pilots.node.imagerequests import ImageRequests
from fallow_pilots.node.lifecycle import Asked, End, verdict
from fallow_pilots.node.pool import Pool
from fallow_pilots.node.signals import Signals
from fallow_pilots.node.supervisor import TICK_S, Supervisor
from fallow_pilots.node.token import TokenCopy
from fallow_pilots.outcome import Code, Outcome
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

TOKEN_WAIT_S = 120.0
"""How long a pilot waits for a valid token before it gives up."""
CLEANUP_S = 10.0
LOG_LINES = 20
PER_NAMESPACE_SINCE = (5, 14)
"""Linux counts processes per user namespace since then."""


@dataclass(frozen=True)
class Prepared:
    """A node that passed its check."""

    programs: condor.Programs
    node: condor.Node


def run(spec_path: Path, signals: Signals) -> int:
    """Run the pilot that `spec_path` describes; the outcome file says how it went.

    Returns:
        The exit status: 0 when the pilot did what it should, also if it found no work; 1 when node or hub are broken.

    Raises:
        SettingsError: The specification cannot be used, so nobody can be told.
    """
    started = time.time()
    spec = PilotSpec.read(spec_path)
    processes.adopt_orphans()
    runs: list[history.Run] = []
    place = None
    try:
        place = layout.create(spec.scratch_dir, spec.pilot)
        code, reason, runs = _live(spec, spec_path.resolve(), place, signals, started)
    except FallowError as error:
        code, reason = Code.SITE_BROKEN, str(error)
    except Exception:
        log.exception("pilot %s failed", spec.pilot)
        code, reason = Code.TRANSIENT, "The pilot failed; its log has the details."
    finally:
        processes.end_all(CLEANUP_S)
        if place is not None:
            layout.remove(place)
    outcome = Outcome(
        code=code,
        reason=reason[:2000],
        started=datetime.fromtimestamp(started, tz=timezone.utc),
        ended=datetime.now(timezone.utc),
        jobs_run=sum(run.finished for run in runs),
        busy_core_s=int(sum(run.wall_s * run.cores for run in runs)),
    )
    write_private(spec.outcome_file, outcome.model_dump_json() + "\n")
    log.info("pilot %s ends with %d: %s", spec.pilot, code, reason)
    return 0 if code < Code.BANNED else 1


def prepare(spec: PilotSpec, place: layout.Layout) -> Prepared:
    """Check the node and write our programs into the pilot's directory.

    Raises:
        NotAvailableError: It is not fit for payloads; every reason is named.
    """
    programs = checks.find_htcondor()
    # Starters see only what is there now: the first pilot of a centre makes the store.
    spec.image_store_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    apptainer = isolation.apptainer()
    image = isolation.make_check_image(apptainer, programs.libexec, place.root)
    launcher.write(place, _values(spec, programs, apptainer, image))
    gpus = checks.check_gpus(spec, programs.libexec)
    findings = [
        isolation.check(launcher.jailed(place), apptainer, image),
        checks.check_disk(spec, place.execute),
        checks.check_memory(spec, Path("/proc/meminfo").read_text(encoding="ascii")),
        checks.check_hub(spec),
        checks.check_collector(spec),
        gpus,
        *(checks.check_cvmfs(repository) for repository in spec.cvmfs),
    ]
    for finding in findings:
        log.log(logging.INFO if finding.good else logging.WARNING, "%s: %s", finding.check, finding.words)
    if spec.findings_file is not None:
        shown = [[finding.check, finding.good, finding.words] for finding in findings]
        write_private(spec.findings_file, json.dumps(shown) + "\n")
    broken = checks.fatal(findings)
    if broken:
        raise NotAvailableError(f"This node is not fit for payloads. {' '.join(one.words for one in broken)}")
    node = condor.Node(
        hostname=socket.gethostname(),
        disk_kb=checks.disk_kb(spec, place.execute),
        has_gpus="FallowHasGpus" in gpus.capabilities,
        capabilities=checks.capabilities(findings),
    )
    return Prepared(programs, node)


def _live(
    spec: PilotSpec, spec_path: Path, place: layout.Layout, signals: Signals, started: float
) -> tuple[Code, str, list[history.Run]]:
    ready = prepare(spec, place)
    if spec.findings_file is not None:
        return Code.WORK_DONE, "The node was checked.", []
    token = TokenCopy(spec.token_file, place.tokens)
    if not _wait(lambda: token.refresh(time.time()), TOKEN_WAIT_S, signals):
        if signals.asked is not Asked.NOTHING:
            return Code.ASKED_TO_STOP, "The pilot was asked to stop before it joined the pool.", []
        return Code.HUB_BROKEN, f"No valid token came to {spec.token_file}: look at the launcher.", []
    until = end_of_allocation(started, spec.walltime_s, os.environ) - spec.drain_grace_s
    values = condor.settings(spec, place, ready.programs, ready.node, int(until))
    place.config.write_text(condor.render(values), encoding="utf-8")
    pool = Pool(place, ready.programs)
    pool.start()
    seen = Supervisor(
        pilot=spec.pilot,
        pool=pool,
        token=token,
        images=ImageRequests(place, spec_path),
        signals=signals,
        until=until,
        evict_s=condor.evict_s(spec),
    ).run()
    runs = history.read(place.logs / "history")
    code, reason = verdict(End(jobs_run=sum(run.finished for run in runs), **vars(seen)))
    if code >= Code.BANNED:
        _show_logs(place.logs)
    return code, reason, runs


def _values(spec: PilotSpec, programs: condor.Programs, apptainer: Path, image: Path) -> launcher.Values:
    user_processes = max(4096, 1024 * (os.cpu_count() or 1))
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return launcher.Values(
        apptainer=apptainer,
        libexec=programs.libexec,
        starter=programs.sbin / "condor_starter",
        store=spec.image_store_dir,
        check_image=image,
        binds=_binds(spec),
        user_processes=user_processes,
        network=spec.network,
        job_processes=256 if release >= PER_NAMESPACE_SINCE else user_processes,
    )


def _show_logs(logs: Path) -> None:
    """Put the ends of HTCondor's logs into ours: the directory goes away."""
    for name in ("master.out", "MasterLog", "StartLog"):
        try:
            lines = (logs / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in lines[-LOG_LINES:]:
            log.warning("%s: %s", name, line)


def _binds(spec: PilotSpec) -> tuple[str, ...]:
    """What of the node every payload sees, read-only."""
    wanted = ["/etc/hosts", "/etc/localtime", *(["/cvmfs"] if spec.cvmfs else [])]
    return tuple(f"{place}:{place}:ro" for place in wanted if Path(place).exists())


def _wait(good: Callable[[], bool], timeout_s: float, signals: Signals) -> bool:
    deadline = time.monotonic() + timeout_s
    while not good():
        if time.monotonic() >= deadline or signals.asked is not Asked.NOTHING:
            return False
        signals.wait(TICK_S)
    return True
