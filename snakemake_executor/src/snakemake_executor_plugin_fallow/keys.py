"""What makes two submissions the same job: names that stay the same when a workflow is started again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from snakemake_executor_plugin_fallow.job.fallow_job import member_name

_LENGTH = 16
_PASSING = frozenset({"--attempt", "--cores", "--unneeded-temp-files"})


def digest(parts: Sequence[object]) -> str:
    """16 hex digits that stand for `parts`."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def lasting(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """Snakemake's arguments without those that change with the attempt or with what else is still to be done.

    Snakemake writes sets in any order, so neither options nor their values keep theirs.
    """
    options: list[list[str]] = []
    for word in arguments:
        if word.startswith("--") or not options:
            options.append([word])
        else:
            options[-1].append(word)
    return sorted((name, *sorted(values)) for name, *values in options if name not in _PASSING)


@dataclass(frozen=True)
class Identity:
    """One job of a workflow: what it makes, and how."""

    target: str
    """Digest of its rules and outputs: at most one job in the queue may have it."""
    content: str
    """Digest of what it would do: arguments, sources, image and request."""

    def key(self, ended: int) -> str:
        """The job's key in the queue, when `ended` submissions of it have been dealt with before."""
        return f"{self.target}-{self.content}-{ended}"


def identity_of(members: Iterable[Any], arguments: Sequence[str], about: Sequence[object]) -> Identity:
    """What stays the same about a submitted job when the same command is given again.

    Args:
        members: The Snakemake jobs that it runs.
        arguments: The command line of its Snakemake.
        about: What all jobs of the workflow share.
    """
    made = sorted(
        [job.rule.name, sorted(job.wildcards_dict.items()), sorted(map(str, job.output))] for job in members
    )
    return Identity(digest(made), digest([lasting(arguments), *about]))


def stored_inputs(members: Iterable[Any]) -> dict[str, list[str]]:
    """The inputs in the storage of each of the Snakemake jobs that a submitted one runs, by what `member_name` calls it.

    The job reads the workflow again, on another machine. Where that finds less, for instance because the workflow looks for
    files by a pattern, the results would be wrong and nobody told.
    """
    return {
        member_name(job): sorted(file.storage_object.query for file in job.input if file.is_storage)
        for job in members
    }


def target_of(key: str) -> str:
    """The target that a key was made for."""
    return key.partition("-")[0]


@dataclass
class Ended:
    """How many submissions of each job have been dealt with, also by the process that was killed."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, key: str) -> None:
        """Count a key that has been dealt with: the next submission of its job needs another."""
        self.counts[key.rpartition("-")[0]] += 1

    def next_key(self, identity: Identity) -> str:
        """The key of the job's next submission."""
        return identity.key(self.counts[f"{identity.target}-{identity.content}"])
