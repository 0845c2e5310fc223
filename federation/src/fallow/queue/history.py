"""Jobs that have left the queue, each once: HTCondor's history may have a job more than once.

The schedd adds a job to its history before it notes that the job is gone; one that is killed in between adds it again when
it is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from fallow.queue.ids import any_of, chunks, job_of


def remembered(
    ids: Sequence[str], ask: Callable[[str, int], Sequence[Mapping[str, Any]]]
) -> dict[str, Mapping[str, Any]]:
    """What the history says of jobs, by id; absent are those that it does not know.

    Args:
        ids: The jobs.
        ask: Gives the latest ads for which a constraint holds, as many as its second argument says at most; with
            `ClusterId` and `ProcId`.

    Raises:
        UsageError: One of them is not a job id.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for chunk in chunks(ids):
        missing = list(chunk)
        while missing:
            ads = ask(any_of(missing), len(missing))
            for ad in ads:
                found.setdefault(job_of(ad), ad)
            left = [job for job in missing if job not in found]
            if len(ads) < len(missing) or len(left) == len(missing):
                break
            missing = left
    return found
