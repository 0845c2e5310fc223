"""The executor that Snakemake drives. It passes on: jobs through `translation`; decisions are in `backend` and `verdict`.

What Snakemake's interface does unasked, and what is done about it:

* A cancellation during a poll finds Snakemake's list of active jobs empty: all jobs of the run are removed.
* An exception during a poll would end the workflow and leave its jobs running: it is logged, and polling goes on.
* A job neither reported nor yielded would hang the workflow: the registry in `Backend` decides, not the list.
* The thread that polls starts before `__post_init__`: it has nothing to ask before the first submission.
* `--directory` and `--cores all` of the submitting side would reach the job: they are replaced.
* A SIGTERM while the scheduler looks after ended jobs would hang it for ever: `sigterm` has it wait for its turn.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

if TYPE_CHECKING:
    from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

    from snakemake_executor_plugin_fallow.backend import Backend, Entry, Event
    from snakemake_executor_plugin_fallow.federation import Federated

log = logging.getLogger(__name__)

_TAIL_LINES = 40
_PAUSE_S = 1.0
_SAMPLES = 50
"""Jobs of a rule that are looked at before the first is submitted; most rules ask the same for all."""
_PYTHON = "fallow-python"
_DEFAULT_PACE = (100, 1.0)
"""Snakemake's own `--max-jobs-per-timespan`: so many jobs in so many seconds."""


class Executor(RemoteExecutor):  # type: ignore[misc]
    """Runs the jobs of one workflow in a Fallow federation."""

    _backend: Backend | None = None
    _ended = False
    _cancel_failed = False
    _hears_sigterm = False
    _job_cores: int | None = None
    _shared_arguments: tuple[list[str], list[str]] | None = None
    """What comes before and after a job's own arguments: the same for all jobs, and slow to put together."""

    def __post_init__(self) -> None:
        from fallow.errors import FallowError
        from snakemake_executor_plugin_fallow.backend import Backend
        from snakemake_executor_plugin_fallow.dryrun import stop
        from snakemake_executor_plugin_fallow.federation import Federated
        from snakemake_executor_plugin_fallow.job.fallow_job import store
        from snakemake_executor_plugin_fallow.notes import Notes
        from snakemake_executor_plugin_fallow.runs import claim
        from snakemake_executor_plugin_fallow.sources import pack, publish
        from snakemake_executor_plugin_fallow.spool import SpoolArea
        from snakemake_executor_plugin_fallow.translation import Translation

        stop()
        _lift_default_pace(self.workflow)
        records = Path.cwd() / ".snakemake" / "fallow"
        records.mkdir(parents=True, exist_ok=True)
        self._claim = claim(records)
        self.run = self._claim.id
        self._claim.note_locks(getattr(self.workflow.persistence, "_lockfile", {}).values())
        self._temporary = tempfile.TemporaryDirectory(prefix="fallow-spool-")
        try:
            self._federated: Federated = Federated.connect(
                self.executor_settings,
                run=self.run,
                prefix=self.workflow.storage_settings.default_storage_prefix,
                own_keys=any(name.startswith("SNAKEMAKE_STORAGE_S3_ACCESS_KEY") for name in self.envvars()),
            )
            self._backend = Backend(
                self._federated.queue,
                self.run,
                access=self._federated.access,
                spool=SpoolArea(Path(self._temporary.name)),
                records=records,
                resubmissions=_whole_number(self.executor_settings.resubmissions),
                notes=Notes(self.workflow.storage_settings.default_storage_prefix, self.run, store),
                resubmitted=_register,
            )
            self._check_fit()
            self._translation = Translation(
                self.workflow,
                self._federated,
                run=self.run,
                records=records,
                sources=publish(
                    pack(self.workflow),
                    self.workflow.storage_settings.default_storage_prefix,
                    {**os.environ, **self.envvars()},
                ),
                environment=self.envvars,
                arguments=self._arguments,
                key=self._backend.key,
            )
            if self._claim.resumed and (left := self._backend.leftovers.find(self._backend.over())):
                message = f"Taking up the run {self.run} again: {left} of its jobs are in the queue."
                self.logger.warning(message)
        except FallowError as error:
            raise WorkflowError(str(error)) from error

    def _hear_sigterm(self) -> None:
        """Once; Snakemake's own handler comes after `__post_init__`, and before the first jobs."""
        from snakemake_executor_plugin_fallow.sigterm import handle_apart

        if not self._hears_sigterm:
            self._hears_sigterm = True
            handle_apart()

    def _check_fit(self) -> None:
        """Say which rules no present offer can take.

        Raises:
            UsageError: A rule asks for what can never be.
        """
        from fallow.errors import FallowError, UsageError
        from snakemake_executor_plugin_fallow.fits import Wishes

        wishes = Wishes(self._federated.defaults)
        seen: Counter[str] = Counter()
        for job in self.dag.needrun_jobs():
            if seen[job.rule.name] < _SAMPLES and not job.is_local:
                seen[job.rule.name] += 1
                with suppress(
                    Exception
                ):  # resources that cannot be evaluated: Snakemake says so when the job comes
                    wishes.add(job.rule.name, job.threads, job.resources)
        try:
            found = wishes.held_against(self._federated.hub.fit)
        except FallowError as error:
            message = f"Whether the present offers can take the rules could not be asked. {error}"
            self.logger.warning(message)
            return
        if found.never:
            raise UsageError(
                " ".join(found.never),
                remedy="Nothing was submitted: mend the rules' resources or the settings.",
            )
        for line in found.lines():
            self.logger.warning(line)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self._submit([job])

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit all jobs that are ready in one go."""
        self._hear_sigterm()
        for job in jobs:
            self.run_job_pre(job)
        self._submit(jobs)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        """Poll the queue once; report what ended and yield the rest."""
        ended: set[int] = set()
        if self._backend is not None and active_jobs:
            try:
                for event in self._backend.poll():
                    ended.add(id(event.handle))
                    self._report(event)
            except Exception as error:
                log.debug("poll failed", exc_info=error)
                message = f"The queue could not be asked, trying again: {error}"
                self.logger.warning(message)
        for job in active_jobs:
            if id(job) not in ended and job.aux is not None and not job.aux.get("reported"):
                yield job

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 - may be incomplete
        """Remove every job of this run, whatever Snakemake remembers of them."""
        from fallow.errors import FallowError

        if self._backend is None:
            return
        try:
            removed = self._backend.cancel()
            self._cancel_failed = False
            message = f"Removed {removed} jobs of the run {self.run}."
        except FallowError as error:
            self._cancel_failed = True  # the next call finds them
            message = f"Jobs of the run {self.run} may still be in the queue: {error}"
        self.logger.info(message)  # Snakemake's logger does not fill in arguments

    def shutdown(self) -> None:
        """Stop polling and show what the run did."""
        super().shutdown()
        if self._ended or self._backend is None:
            return
        self._ended = True
        self._temporary.cleanup()
        if not self._cancel_failed:
            self._backend.leftovers.drop()
            self._federated.close()
            self._claim.close()
        self._summarise(self._backend)

    def _summarise(self, backend: Backend) -> None:
        """Show how each rule fared where, and write it down for programs."""
        from snakemake_executor_plugin_fallow.efficiency import document, table

        jobs = backend.summary()
        if jobs:
            path = backend.report.with_suffix(".json")
            path.write_text(json.dumps(document(self.run, jobs), indent=1) + "\n", encoding="utf-8")
            shown = f"Rules of the run {self.run} (more in {path}):\n{table(jobs)}"
            self.logger.info(shown)

    @property
    def next_seconds_between_status_checks(self) -> float:
        """The pause between two polls: one query is cheap, and the interface's 10 s would delay what follows."""
        return _PAUSE_S if self._backend is None else self._backend.pause_s

    @property
    def cores(self) -> int | str:
        """What the job's own Snakemake may use: what was requested for it."""
        return self._job_cores or super().cores

    def additional_general_args(self) -> str:
        """The log of a failed rule goes to the job's stderr, which is fetched: nobody here has the log itself."""
        return "--show-failed-logs"

    def get_python_executable(self) -> str:
        """A mark: the job's command is not run by a shell, see `_arguments`."""
        return _PYTHON

    def _submit(self, jobs: list[JobExecutorInterface]) -> None:
        """Register and send `jobs`; each is reported as submitted first, so that it can be reported as failed."""
        from pydantic import ValidationError

        from fallow.errors import FallowError

        assert self._backend is not None  # noqa: S101 - Snakemake runs jobs after __post_init__
        entries, refused = [], []
        for job in jobs:
            info = SubmittedJobInfo(job=job, aux={})
            try:
                entries.append(self._translation.entry(info))
            except FallowError as error:
                refused.append((info, str(error)))
            except ValidationError as error:
                wrong = "; ".join(
                    f"{item['loc'][0]}: {item['msg']}" for item in error.errors() if item["loc"]
                )
                refused.append((info, f"{job.name}: {wrong or error}"))
        self._backend.add(entries)
        events = self._backend.submit()
        for entry in entries:
            entry.handle.external_jobid = entry.job
            self.report_job_submission(entry.handle)
        for info, reason in refused:
            self.report_job_submission(info)
            info.aux["reported"] = True
            _retry_no_more(info.job)
            self.report_job_error(info, msg=reason)
        for event in events:
            self._report(event)

    def _arguments(self, job: JobExecutorInterface, cores: int) -> list[str]:
        """Snakemake's arguments in the job, as the interface builds them for a shell."""
        from snakemake_executor_plugin_fallow.words import words

        self._job_cores = cores
        try:
            own = self.get_job_args(job).strip()
            if self._shared_arguments is None:
                with _without_workdir(self.workflow):
                    command = self.format_job_exec(job)
                # what comes before (fetching sources, the user's precommand) is done by our script
                before, _, after = command.partition(f"{_PYTHON} -m snakemake ")[2].partition(own)
                self._shared_arguments = words(before), words(after)
        finally:
            self._job_cores = None
        before_own, after_own = self._shared_arguments
        return [*before_own, *words(own), *after_own]

    def _report(self, event: Event) -> None:
        info = event.handle
        info.aux["reported"] = True
        info.external_jobid = event.job
        if event.done:
            self.report_job_success(info)
            return
        message = event.reason[:1].upper() + event.reason[1:].rstrip(".") + "."
        if event.final:
            _retry_no_more(info.job)
            if "conda" in event.reason:
                message = self._translation.found_no_conda(message)
        for path in event.logs:
            if path.stat().st_size:
                message += f"\nThe end of {path.name}:\n{_tail(path)}"
        self.report_job_error(info, msg=message + "\n", aux_logs=[str(path) for path in event.logs])


def _retry_no_more(job: Any) -> None:
    """Have Snakemake spend none of the rule's retries on what another try cannot change."""
    job.attempt = max(job.attempt, job.restart_times + 1)


def _register(entry: Entry) -> None:
    """Have Snakemake's marks of unfinished outputs name the job that makes them now."""
    entry.handle.job.register(external_jobid=entry.job)


def _lift_default_pace(workflow: Any) -> None:
    """Let all ready jobs come at once, unless the user chose a pace.

    Snakemake's default spares batch systems that start a program for each job; here a thousand are one transaction.
    """
    limit = getattr(workflow.scheduling_settings, "max_jobs_per_timespan", None)
    if limit is not None and (limit.max_jobs, limit.timespan) == _DEFAULT_PACE:
        limit.max_jobs = sys.maxsize


@contextmanager
def _without_workdir(workflow: Any) -> Iterator[None]:
    """Hide the submitting side's `--directory`: the job has a working directory of its own."""
    kept, workflow.overwrite_workdir = workflow.overwrite_workdir, None
    try:
        yield
    finally:
        workflow.overwrite_workdir = kept


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return os.linesep.join(f"  | {line}" for line in lines[-_TAIL_LINES:])


def _whole_number(text: str | None) -> int:
    from fallow.errors import UsageError

    if text is None or not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"--fallow-resubmissions {text!r} is not a whole number.", remedy="Give one, such as 3."
        )
    return int(text)
