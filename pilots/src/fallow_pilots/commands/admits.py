"""`fallow pilot admits`: would this policy take these jobs?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fallow.errors import UsageError
from fallow.output import show
from fallow_pilots.commands.common import as_json, with_policy
from fallow_pilots.policy import policy_path, read_policy

if TYPE_CHECKING:
    from fallow_pilots.admits import Verdict

JOB_ID = re.compile(r"[0-9]+[.][0-9]+", re.ASCII)


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@with_policy
@as_json
def admits(jobs: tuple[str, ...], policy_file: Path | None, as_json: bool) -> None:
    """Say whether this policy would take each JOB, and which clauses refuse it.

    A JOB is an id such as 12.0 (asked at the hub with your own login), or a file with one or more jobs as
    `condor_q -json` or `condor_q -long` print them; - is standard input. The exit code is 1 if any is refused.
    """
    from fallow.queue.session import bindings
    from fallow_pilots.admits import judge

    policy = read_policy(policy_path(policy_file))
    bindings()  # gives ClassAds the functions that daemons know
    verdicts = [judge(policy, name, ad, time.time()) for name, ad in _ads(jobs)]
    if as_json:
        click.echo(json.dumps([_document(verdict) for verdict in verdicts], indent=2))
    else:
        show(list(_rows(verdicts)), ["job", "taken", "clause", "because"], as_json=False)
    if not all(verdict.taken for verdict in verdicts):
        raise SystemExit(1)


def _ads(jobs: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Each job's name and ClassAd, in the order given; those of the queue are asked for at once."""
    from fallow_pilots.admits import read_ads

    ids = [job for job in jobs if JOB_ID.fullmatch(job)]
    queued = _queued(ids) if ids else {}
    for job in jobs:
        if job in queued:
            yield job, queued[job]
            continue
        found = read_ads(_text(job))
        for number, ad in enumerate(found, start=1):
            yield _name(ad) or (job if len(found) == 1 else f"{job}#{number}"), ad


def _queued(ids: Sequence[str]) -> dict[str, Any]:
    from fallow.client import connect
    from fallow.queue.hub import open_queue

    found = open_queue(connect()).ads(ids)
    for job in ids:
        if job not in found:
            raise UsageError(f"There is no job {job} in the queue.", remedy="See: fallow jobs")
    return found


def _text(job: str) -> str:
    try:
        with click.open_file(job, encoding="utf-8") as stream:
            return str(stream.read())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{job} is neither a job id nor a file that can be read.",
            remedy="Give an id such as 12.0, a file, or -.",
        ) from error


def _name(ad: Any) -> str | None:
    cluster, process = ad.get("ClusterId"), ad.get("ProcId")
    return f"{cluster}.{process}" if isinstance(cluster, int) and isinstance(process, int) else None


def _document(verdict: Verdict) -> dict[str, object]:
    refused_by = [{"clause": clause.name, "sentence": clause.sentence} for clause in verdict.refused_by]
    return {"job": verdict.job, "taken": verdict.taken, "refused_by": refused_by}


def _rows(verdicts: Sequence[Verdict]) -> Iterator[dict[str, object]]:
    for verdict in verdicts:
        if verdict.taken:
            yield {"job": verdict.job, "taken": True}
        for clause in verdict.refused_by:
            yield {"job": verdict.job, "taken": False, "clause": clause.name, "because": clause.sentence}
