"""The command `fallow-pilot-deputy`: does under a person's account what the launcher asks and the person consented to.

It can start pilots of the centre, look at them and stop them, and nothing else: a launcher's account that was taken over
reads no file of the person's and runs no other program. It is called by `sudo`, or is the forced command of an ssh key.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from fallow.errors import FallowError, RefusedError
from fallow.files import read_private, write_private
from fallow_pilots.accounts.consent import Consent, read_consent
from fallow_pilots.accounts.messages import Answer, Look, Request, SeenJob, Start, Stopping
from fallow_pilots.batch import open_batch
from fallow_pilots.batch.model import JobStatus, Phase, Stop
from fallow_pilots.conditions import named
from fallow_pilots.layout import PilotFiles
from fallow_pilots.nodefindings import node_file, read_node_check
from fallow_pilots.order import Order, Wish, write_order
from fallow_pilots.policy import Batch
from fallow_pilots.prepare import batch_job, node_program, submit
from fallow_pilots.spec import PilotSpec
from fallow_pilots.watch import KEPT, read_outcome

MOST_BYTES = 4 * 1024 * 1024
WAY = "way.json"


def answer(request: Request, home: Path) -> Answer:
    """Do what is asked, as far as the person consented."""
    consent: Consent | None = None
    try:
        consent = read_consent(home, request.centre)
        return Answer() if consent is None else Deputy(consent, request.batch).act(request)
    except (FallowError, OSError) as error:
        return Answer(consent=consent, trouble=str(error)[:500])


class Deputy:
    """Acts for one centre under the account that this process runs under.

    Args:
        consent: What the person said.
        batch: The centre's batch system.
    """

    def __init__(self, consent: Consent, batch: Batch) -> None:
        self._consent = consent
        self._files = PilotFiles(consent.directory, consent.centre)
        self._batch = open_batch(batch, self._files.prefix)

    def act(self, request: Request) -> Answer:
        """Fulfil a request; without consent nothing starts, but what runs is still looked at and stopped."""
        done = Answer(consent=self._consent)
        if self._consent.holds:
            self._files.make()
            self._keep(self._files.token, request.token)
            self._keep(self._files.root / WAY, request.way)
        if request.stop is not None:
            self.stop(request.stop)
        if request.start is not None:
            done = done.model_copy(update={"native_id": self._start(request.start)})
        if request.look is not None:
            done = done.model_copy(update=self._look(request.look))
        return done

    def end_all(self, now: datetime) -> int:
        """Have every pilot of the person's leave at once; how many there were."""
        known, order = self.pilots(), Order(wish=Wish.WITHDRAW, leave_by=now)
        queued = [pilot for pilot, job in known.items() if job.phase is Phase.QUEUED]
        running = [pilot for pilot in known if pilot not in queued]
        for how, chosen in ((Stop.KILL, queued), (Stop.EVICT, running)):
            if chosen:
                self.stop(Stopping(how=how, orders=dict.fromkeys(chosen, order)))
        return len(known)

    def stop(self, stopping: Stopping) -> None:
        """Leave orders and signal; a job that is not one of the person's pilots cannot be named."""
        known = self.pilots(stopping.orders)
        for pilot, order in stopping.orders.items():
            if self._files.outcome(pilot).parent.is_dir():
                write_order(self._files.outcome(pilot), order)
        native_ids = [known[pilot].native_id for pilot in stopping.orders if pilot in known]
        if native_ids:
            self._batch.stop(native_ids, stopping.how)

    def pilots(self, wanted: Iterable[str] = ()) -> dict[str, JobStatus]:
        """The person's pilots that the batch system knows as not ended; it is asked for those `wanted` above all."""
        return {
            pilot: job
            for job in self._batch.status([self._files.job_name(pilot) for pilot in wanted])
            if job.phase is not Phase.ENDED and (pilot := self._files.pilot_of(job.name)) is not None
        }

    def _keep(self, path: Path, text: str | None) -> None:
        if text is not None and read_private(path) != text:
            write_private(path, text)

    def _start(self, start: Start) -> str:
        spec, consent = start.spec, self._consent
        if not consent.holds:
            raise RefusedError(f"{consent.account} has revoked the consent.")
        if not self._consented_to(spec):
            raise RefusedError(
                f"{consent.account} consented to pilots of {consent.centre} at {' and '.join(consent.hubs)} only, "
                f"not to {spec.pilot} at {' and '.join((*spec.hubs, *spec.collectors))}."
            )
        job = batch_job(
            self._files,
            spec.pilot,
            node_program(),
            spec,
            nodes=start.nodes,
            gpu_model=start.gpu_model,
            walltime_s=spec.walltime_s,
            drain_grace_s=spec.drain_grace_s,
            deadline=start.deadline,
        )
        return submit(self._batch, job, self._mine(spec))

    def _consented_to(self, spec: PilotSpec) -> bool:
        """Whether it is a pilot of the centre, which `end_all` would end, and joins no other hub's pool."""
        pools = {_host(f"//{collector}") for collector in spec.collectors}
        return (
            spec.centre == self._consent.centre
            and self._files.pilot_of(self._files.job_name(spec.pilot)) == spec.pilot
            and set(spec.hubs) <= set(self._consent.hubs)
            and pools <= {_host(hub) for hub in self._consent.hubs}
        )

    def _mine(self, spec: PilotSpec) -> PilotSpec:
        """The specification with the person's own files, and with what the person demands of jobs."""
        demands = tuple(clause.requirement for clause in named(self._consent.serves))
        shown = self._consent.copies
        changed: dict[str, object] = {
            "findings_file": None,
            "token_file": self._files.token,
            "outcome_file": self._files.outcome(spec.pilot),
            "way_file": None if spec.way_file is None else self._files.root / WAY,
            "conditions": (*spec.conditions, *demands),
            "image_copies": tuple(place for place in spec.image_copies if place in shown),
            "cvmfs_copies": {name: place for name, place in spec.cvmfs_copies.items() if place in shown},
        }
        if spec.image_store_dir != self._consent.images:
            changed["image_store_dir"] = self._files.root / "images"
        return spec.model_copy(update=changed)

    def _look(self, look: Look) -> dict[str, object]:
        listed = self._batch.status([self._files.job_name(pilot) for pilot in look.pilots])
        outcomes = {pilot: read_outcome(self._files.outcome(pilot)) for pilot in look.awaited}
        checks = {pilot: read_node_check(node_file(self._files.outcome(pilot))) for pilot in look.running}
        self._forget_old(look)
        return {
            "jobs": tuple(SeenJob(**asdict(job)) for job in listed),
            "outcomes": {pilot: outcome for pilot, outcome in outcomes.items() if outcome is not None},
            "checks": {pilot: found for pilot, found in checks.items() if found is not None},
        }

    def _forget_old(self, look: Look) -> None:
        if not self._files.pilots.is_dir():
            return
        oldest = time.time() - KEPT.total_seconds()
        for directory in self._files.pilots.iterdir():
            if directory.name not in look.pilots and directory.stat().st_mtime < oldest:
                shutil.rmtree(directory, ignore_errors=True)


def _host(url: str) -> str | None:
    return urlsplit(url).hostname


def main() -> None:
    """Read one request, write one answer."""
    os.umask(0o077)
    text = sys.stdin.buffer.read(MOST_BYTES)
    try:
        said = answer(Request.model_validate_json(text), Path.home())
    except ValidationError:
        said = Answer(
            trouble="fallow-pilot-deputy was asked what it does not understand: is it of another release?"
        )
    sys.stdout.write(said.model_dump_json() + "\n")
