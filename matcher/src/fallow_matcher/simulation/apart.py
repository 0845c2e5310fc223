"""A simulation in a process of its own: it cannot hold up the gateway, and ends when its time is spent."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Lock
from typing import TypeVar

from fallow.errors import NotAvailableError
from fallow.rules.messages import Outcome
from fallow_matcher.simulation import compare as compare_to
from fallow_matcher.simulation.workload import Workload

CPU_S = 15
"""Processor time that one simulation may take; clients wait 20 s for an answer."""
MEMORY_BYTES = 2 * 1024**3

simulating = Lock()
"""Held by a route while it simulates: one simulation takes a processor."""

T = TypeVar("T")
R = TypeVar("R")


def compare(workload: Workload, *documents: str, cpu_s: int = CPU_S) -> list[list[Outcome]]:
    """What becomes of the same work under each of the documents.

    Args:
        workload: The work.
        documents: Rules.
        cpu_s: Processor time that it may take, in seconds.

    Raises:
        NotAvailableError: It took too much time or memory.
    """
    return _apart(_under_each, workload, documents, cpu_s)


def alone(workload: Workload, document: str, *, cpu_s: int = CPU_S) -> list[Outcome]:
    """What would become of each centre's jobs on its own machines alone.

    Args:
        workload: The work.
        document: The rules in force.
        cpu_s: Processor time that it may take, in seconds.

    Raises:
        NotAvailableError: It took too much time or memory.
    """
    return _apart(_alone, workload, document, cpu_s)


def _apart(call: Callable[[Workload, T], R], workload: Workload, what: T, cpu_s: int) -> R:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_be_modest, initargs=(cpu_s,)) as pool:
        try:
            return pool.submit(call, workload, what).result()
        except (BrokenProcessPool, MemoryError) as error:
            raise NotAvailableError(
                f"The simulation of {len(workload.jobs)} jobs took more than {cpu_s} s or {MEMORY_BYTES // 2**20} MB.",
                remedy="Simulate a trace with `fallow simulate` on a machine of your own.",
            ) from error


def _under_each(workload: Workload, documents: tuple[str, ...]) -> list[list[Outcome]]:
    return [compare_to.under(document, workload) for document in documents]


def _alone(workload: Workload, document: str) -> list[Outcome]:
    return compare_to.alone(document, workload)


def _be_modest(cpu_s: int) -> None:
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
