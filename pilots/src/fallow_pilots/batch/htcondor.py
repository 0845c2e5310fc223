"""A centre's own HTCondor pool, through its commands.

A pilot is a vanilla job that runs as the launcher's account on a shared file system. It never starts twice: one that was
evicted fits no machine any more, and the schedd removes it. HTCondor cannot hand a job SIGUSR1, so the batch script looks
for the launcher's order to drain and signals the pilot itself.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection, Sequence

from fallow_pilots.batch import htcondor_answers as answers
from fallow_pilots.batch.command import run, tell
from fallow_pilots.batch.model import BatchError, BatchJob, Hole, JobStatus, Phase, Spare, Stop
from fallow_pilots.order import order_file
from fallow_pilots.policy import Batch

log = logging.getLogger(__name__)

HISTORY_SCANNED = 20_000
"""Jobs of the history that are looked through for a pilot that left the queue."""
NEVER_STARTED = "(NumJobStarts =?= undefined || NumJobStarts == 0)"

SCRIPT = """\
#!/bin/sh
{start} &
pilot=$!
trap 'kill -TERM "$pilot"' TERM
while sleep 5 && kill -0 "$pilot" 2>/dev/null; do
    if [ -e {order} ]; then kill -USR1 "$pilot"; break; fi
done &
watch=$!
while :; do
    wait "$pilot"
    code=$?
    kill -0 "$pilot" 2>/dev/null || break
done
kill "$watch" 2>/dev/null
exit "$code"
"""


def script_text(job: BatchJob) -> str:
    """The batch script: starts the pilot, hands SIGTERM on, and drains it when the launcher's order appears."""
    start = [str(job.node_command), "--spec", str(job.spec)]
    return SCRIPT.format(
        start=" ".join(map(shlex.quote, start)), order=shlex.quote(str(order_file(job.spec)))
    )


def _plain(value: object) -> str:
    """`value` as it is: a submit description would take a dollar sign for a macro."""
    return str(value).replace("$", "$(DOLLAR)")


def submit_argv(settings: Batch, job: BatchJob) -> list[str]:
    """The `condor_submit` command for one pilot; the whole description is in its arguments."""
    removed = [
        "JobStatus == 5",
        f"(JobStatus == 1 && !{NEVER_STARTED})",
        f"(JobStatus == 2 && time() - JobCurrentStartDate > {job.walltime_s})",
    ]
    if job.deadline is not None:
        latest = int(job.deadline.timestamp()) - job.walltime_s
        removed.append(f"(JobStatus == 1 && time() > {latest})")
    required = [NEVER_STARTED, *([f"({settings.requirements})"] if settings.requirements else [])]
    described = {
        "universe": "vanilla",
        "batch_name": job.name,
        "executable": _plain(job.script),
        "initialdir": _plain(job.log.parent),
        "output": _plain(job.log),
        "error": _plain(job.log),
        "should_transfer_files": "NO",
        "getenv": "False",
        "request_cpus": str(job.cores),
        "request_memory": f"{job.memory_mb}M",
        "request_disk": "1M",
        "want_graceful_removal": "True",
        "job_max_vacate_time": str(job.drain_grace_s),
        "requirements": _plain(" && ".join(required)),
        "periodic_remove": " || ".join(removed),
        **({"request_gpus": str(job.gpus)} if job.gpus else {}),
        **({"require_gpus": f'DeviceName == "{job.gpu_model}"'} if job.gpus and job.gpu_model else {}),
        **({"accounting_group": settings.account} if settings.account else {}),
    }
    words = [f"{name}={value}" for name, value in described.items()]
    return ["condor_submit", "-terse", *words, "/dev/null", "-queue", "1"]


class HTCondor:
    """A pool, as the launcher's user sees it."""

    programs: tuple[str, ...] = (
        "condor_submit",
        "condor_q",
        "condor_rm",
        "condor_vacate_job",
        "condor_status",
        "condor_history",
    )

    def __init__(self, settings: Batch, prefix: str) -> None:
        self._settings = settings
        self._ours = f'regexp("^{prefix}", JobBatchName)'

    def script(self, job: BatchJob) -> str:
        """Text of the batch script."""
        return script_text(job)

    def submit_argv(self, job: BatchJob) -> list[str]:
        """The command that submits `job`."""
        return submit_argv(self._settings, job)

    def submit(self, job: BatchJob) -> str:
        """Submit `job` and return its native id."""
        return answers.parse_submit(run(self.submit_argv(job)))

    def status(self, names: Collection[str]) -> list[JobStatus]:
        """All our jobs in the queue, and of those that left it what the history says."""
        jobs = answers.parse_jobs(self._queue(self._ours, answers.JOB_ATTRIBUTES))
        forgotten = sorted(set(names) - {job.name for job in jobs})
        return jobs + self._remembered(forgotten)

    def _queue(self, constraint: str, attributes: Sequence[str], *who: str) -> str:
        """What `condor_q` prints; nothing only where the schedd confirms that it is there."""
        argv = ["condor_q", *who, "-json", "-attributes", ",".join(attributes), "-constraint", constraint]
        text = run(argv)
        if not text.strip() and not answers.confirms(run(["condor_q", "-totals"])):
            raise BatchError("condor_q gave an empty answer, and no schedd confirms it.")
        return text

    def _remembered(self, names: Sequence[str]) -> list[JobStatus]:
        if not names:
            return []
        listed = ",".join(names)
        argv = ["condor_history", "-json", "-attributes", ",".join(answers.JOB_ATTRIBUTES)]
        argv += ["-scanlimit", str(HISTORY_SCANNED), "-match", str(len(names))]
        try:
            text = run([*argv, "-constraint", f'stringListMember(JobBatchName, "{listed}")'])
            return [job for job in answers.parse_jobs(text, of_history=True) if job.name in names]
        except BatchError as error:
            log.debug("no history: %s", error)
            return []

    def stop(self, native_ids: Sequence[str], how: Stop) -> None:
        """Vacate or remove jobs; `condor_q` tells afterwards what came of it.

        To drain, nothing is called: the batch script finds the order that the launcher has left.
        """
        if not native_ids or how is Stop.DRAIN:
            return
        jobs = answers.parse_jobs(self._queue(self._ours, answers.JOB_ATTRIBUTES))
        known = {job.native_id: job.phase for job in jobs}
        running = [one for one in native_ids if known.get(one) is Phase.RUNNING]
        if how is Stop.EVICT:
            tell(["condor_vacate_job"], running)
            return
        # A job that is being removed cannot be hurried any more, so its grace is cut short first.
        tell(["condor_vacate_job", "-fast"], running)
        tell(["condor_rm"], [one for one in native_ids if one in known])

    def spare(
        self,
        *,
        count_waiting: bool,
        partitions: Sequence[str],  # noqa: ARG002 - a pool has no queues
        hole: Hole | None = None,  # noqa: ARG002 - nor does it plan ahead
    ) -> Spare:
        """Slots with room, and the number of local jobs that wait."""
        wanted = ['SlotType =!= "Dynamic"']
        wanted += [f"({self._settings.requirements})"] if self._settings.requirements else []
        argv = ["condor_status", "-json", "-attributes", ",".join(answers.SLOT_ATTRIBUTES)]
        nodes = answers.parse_slots(run([*argv, "-constraint", " && ".join(wanted)]))
        if not count_waiting:
            return Spare(nodes)
        listed = self._queue(f"JobStatus == 1 && !({self._ours} ?: false)", ["ClusterId"], "-allusers")
        return Spare(nodes, len(answers.rows(listed, "condor_q")))
