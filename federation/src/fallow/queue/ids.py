"""Job ids in queries of the queue: `cluster.process`, some hundreds at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fallow.errors import UsageError

_AT_ONCE = 500

SECOND_FROM = 1_000_000_000
"""Where a federation has two queues: the second gives clusters this number and those above it, the first those below."""


def job_of(ad: Mapping[str, Any]) -> str:
    """The id of the job that an ad is of."""
    return f"{int(ad['ClusterId'])}.{int(ad['ProcId'])}"


def chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Job ids in parts that one query can name."""
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def any_of(ids: Sequence[str]) -> str:
    """A constraint for these job ids; the schedd looks at the processes of a cluster only where the cluster is right.

    Raises:
        UsageError: One of them is not a job id.
    """
    clusters: dict[int, list[int]] = {}
    for job in ids:
        cluster, process = _parts(job)
        clusters.setdefault(cluster, []).append(process)
    return " || ".join(
        f"(ClusterId == {cluster} && ({_one_of(processes)}))" for cluster, processes in clusters.items()
    )


def place_of(job: str) -> int:
    """Which of two queues has given this job id: 0 the first, 1 the second.

    Raises:
        UsageError: It is not a job id.
    """
    return int(_parts(job)[0] >= SECOND_FROM)


def _parts(job: str) -> tuple[int, int]:
    cluster, _, process = job.partition(".")
    if not (cluster.isascii() and cluster.isdigit() and process.isascii() and process.isdigit()):
        raise UsageError(f"{job!r} is not a job id.", remedy="A job id looks like 12.0; see: fallow jobs")
    return int(cluster), int(process)


def _one_of(processes: Iterable[int]) -> str:
    """A condition on `ProcId`, short where processes follow one another."""
    spans: list[list[int]] = []
    for process in sorted(set(processes)):
        if spans and process == spans[-1][1] + 1:
            spans[-1][1] = process
        else:
            spans.append([process, process])
    return " || ".join(
        f"ProcId == {first}" if first == last else f"ProcId >= {first} && ProcId <= {last}"
        for first, last in spans
    )
