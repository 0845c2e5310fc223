"""Another process takes up the run of one that was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.snakemake_executor.backend.conftest import ACCESS, AGAIN, FIRST, identity
from tests.snakemake_executor.conftest import MemoryQueue

from fallow.queue import JobState
from snakemake_executor_plugin_fallow.backend import Backend, Entry
from snakemake_executor_plugin_fallow.keys import Identity
from snakemake_executor_plugin_fallow.payload import Payload
from snakemake_executor_plugin_fallow.spool import SpoolArea


def resumed(backend: Backend, queue: MemoryQueue, tmp_path: Path) -> Backend:
    """Another process that takes the run up."""
    return Backend(
        queue, "r", access=lambda: ACCESS, spool=SpoolArea(tmp_path / "spool"), records=tmp_path, resubmissions=2
    )  # fmt: skip


def test_a_killed_process_counts_for_the_next_one(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    add(3)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=1)
    backend.poll()
    queue.change(identity(1).key(0), state=JobState.HELD, hold_code=13)
    later = resumed(backend, queue, tmp_path)
    assert later.leftovers.find(later.over()) == 1
    assert [later.key(identity(number)) for number in range(3)] == [
        AGAIN,
        identity(1).key(0),
        identity(2).key(0),
    ]
    assert queue.removed == ["1.1"], "what is held is removed"


def test_what_would_make_the_same_files_is_removed_before_the_changed_job_is_submitted(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    [_, unchanged] = add(2)
    backend.submit()
    later = resumed(backend, queue, tmp_path)
    later.leftovers.find(later.over())
    changed = Identity(identity(0).target, "d" * 16)
    spec = unchanged.spec.model_copy(update={"key": later.key(changed)})
    later.add([Entry("new", "rule", changed, spec, Payload([]), since=0.0)])
    later.submit()
    assert queue.removed == ["1.0"]
    assert sorted(queue.records) == sorted([identity(1).key(0), changed.key(0)])


def test_what_nobody_had_a_use_for_is_let_go(
    backend: Backend, queue: MemoryQueue, add: Any, tmp_path: Path
) -> None:
    add(2)
    backend.submit()
    queue.change(FIRST, state=JobState.FINISHED, exit_code=0)
    later = resumed(backend, queue, tmp_path)
    later.leftovers.find(later.over())
    later.leftovers.drop()
    assert (queue.taken, queue.removed) == (["1.0"], ["1.1"])
