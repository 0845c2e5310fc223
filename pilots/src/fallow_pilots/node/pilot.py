"""Runs one pilot from its specification to its outcome."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, List, Tuple

from fallow.errors import FallowError, NotAvailableError
from fallow.files import write_private
from fallow_pilots.node import checks, condor, history, isolation, launcher, layout, processes
from fallow_pilots.node.clock import end_of_allocation
from fallow_pilots.node.imagerequests import ImageRequests
from fallow_pilots.node.lifecycle import Asked, End, Phase, Situation, next_phase, verdict
from fallow_pilots.node.pool import Pool
from fallow_pilots.node.signals import Signals
from fallow_pilots.node.token import TokenCopy
from fallow_pilots.outcome import Code, Outcome
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

TOKEN_WAIT_S = 120.0
"""How long a pilot waits for a valid token before it gives up."""
TICK_S = 0.5
TOKEN_EVERY_S = 30.0
SEEN_EVERY_S = 15.0
CLEANUP_S = 10.0
PER_NAMESPACE_SINCE = (5, 14)
"""Linux counts processes per user namespace since then."""


@dataclass(frozen=True)
class Prepared:
    """A node that passed its check."""

    programs: condor.Programs
    apptainer: Path
    image: Path
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
    runs: List[history.Run] = []
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
    """Check the node.

    Raises:
        NotAvailableError: It is not fit for payloads; every reason is named.
    """
    findings: List[checks.Finding] = []
    programs = checks.find_htcondor()
    apptainer = isolation.apptainer()
    image = isolation.make_check_image(apptainer, programs.libexec, place.root)
    findings.append(isolation.check(apptainer, image))
    findings.append(checks.check_disk(spec, place.execute))
    findings.append(checks.check_memory(spec, Path("/proc/meminfo").read_text(encoding="ascii")))
    findings.append(checks.check_hub(spec))
    findings.append(checks.check_collector(spec))
    gpus = checks.check_gpus(spec, programs.libexec)
    findings.append(gpus)
    findings += [checks.check_cvmfs(repository) for repository in spec.cvmfs]
    for finding in findings:
        log.log(logging.INFO if finding.good else logging.WARNING, "%s: %s", finding.check, finding.words)
    broken = checks.fatal(findings)
    if broken:
        raise NotAvailableError(f"This node is not fit for payloads. {' '.join(one.words for one in broken)}")
    node = condor.Node(
        hostname=socket.gethostname(),
        disk_kb=checks.disk_kb(spec, place.execute),
        has_gpus="FallowHasGpus" in gpus.capabilities,
        capabilities=checks.capabilities(findings),
    )
    return Prepared(programs, apptainer, image, node)


def configure(spec: PilotSpec, place: layout.Layout, ready: Prepared, until: float) -> None:
    """Write HTCondor's configuration and our launcher into the pilot's directory."""
    values = condor.settings(spec, place, ready.programs, ready.node, int(until))
    place.config.write_text(condor.render(values), encoding="utf-8")
    user_processes = max(4096, 1024 * (os.cpu_count() or 1))
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    launcher.write(
        place,
        launcher.Values(
            apptainer=ready.apptainer,
            libexec=ready.programs.libexec,
            store=spec.image_store_dir,
            starter=ready.programs.sbin / "condor_starter",
            check_image=ready.image,
            binds=_binds(spec),
            user_processes=user_processes,
            job_processes=256 if release >= PER_NAMESPACE_SINCE else user_processes,
        ),
    )


def _live(
    spec: PilotSpec, spec_path: Path, place: layout.Layout, signals: Signals, started: float
) -> Tuple[Code, str, List[history.Run]]:
    ready = prepare(spec, place)
    token = TokenCopy(spec.token_file, place.tokens)
    if not _wait(lambda: token.refresh(time.time()), TOKEN_WAIT_S, signals):
        if signals.asked is not Asked.NOTHING:
            return Code.ASKED_TO_STOP, "The pilot was asked to stop before it joined the pool.", []
        return Code.HUB_BROKEN, f"No valid token came to {spec.token_file}: look at the launcher.", []
    until = end_of_allocation(started, spec.walltime_s, os.environ) - spec.drain_grace_s
    configure(spec, place, ready, until)
    pool = Pool(place, ready.programs)
    pool.start()
    end = _supervise(spec, pool, token, ImageRequests(place, spec_path), signals, until)
    runs = history.read(place.logs / "history")
    code, reason = verdict(End(jobs_run=sum(run.finished for run in runs), **end))
    return code, reason, runs


def _supervise(
    spec: PilotSpec, pool: Pool, token: TokenCopy, images: ImageRequests, signals: Signals, until: float
) -> "dict[str, object]":
    """Watch over the pool until HTCondor has ended."""
    phase, since = Phase.WORKING, time.monotonic()
    token_due = seen_due = 0.0
    seen, denied, valid = False, False, True
    evict_s = min(60, max(1, spec.drain_grace_s // 2)) + 15.0
    while pool.ended() is None:
        signals.wait(TICK_S)
        images.look()
        now = time.time()
        if now >= token_due:
            valid, token_due = token.refresh(now), now + TOKEN_EVERY_S
        if not seen and now >= seen_due:
            answer = pool.listed(spec.pilot)
            seen, denied, seen_due = bool(answer), answer is None, now + SEEN_EVERY_S
            if seen:
                log.info("pilot %s is in the pool", spec.pilot)
        wanted = next_phase(
            Situation(phase, time.monotonic() - since, now, until, signals.asked, valid, evict_s, pool.busy())
        )
        if wanted is not phase:
            log.info("pilot %s: %s", spec.pilot, wanted.name.lower())
            {Phase.DRAINING: pool.drain, Phase.EVICTING: pool.evict, Phase.KILLING: pool.quit}[wanted]()
            phase, since = wanted, time.monotonic()
        elif phase is Phase.KILLING and time.monotonic() - since > CLEANUP_S:
            break
    return {
        "phase": phase,
        "asked": signals.asked,
        "seen_in_pool": seen,
        "denied": denied,
        "token_valid": valid,
        "master_status": pool.ended() or 0,
    }


def _binds(spec: PilotSpec) -> Tuple[str, ...]:
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
