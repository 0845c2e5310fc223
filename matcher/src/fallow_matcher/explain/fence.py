"""Evaluates in a process of its own what strangers wrote, for as long as it is given and no longer.

Requirements of jobs and conditions of offers are ClassAd expressions from outside. A short one can keep the library busy for
a second before it gives up (each of forty attributes the sum of two of the one before), and that for every offer.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.explanations import Explanation
from fallow.fits import FitAnswers, FitRequest
from fallow_matcher.explain.hypothetical import Person
from fallow_matcher.explain.situation import Situation

LIMIT_S = 5
START_S = 30
"""How long a process may take to begin: the first one waits until everything is loaded."""

Asked = tuple[Sequence[FitRequest], Person]
"""Requests of jobs that are not submitted yet, and whose they would be."""

_MOST_BYTES = 2 * 1024**3
_PROCESSES = multiprocessing.get_context("forkserver")


class Fence:
    """Explains situations, each in a process that is made for it from one that has everything loaded."""

    def __init__(self) -> None:
        _PROCESSES.set_forkserver_preload(["__main__", "fallow_matcher.explain.fence_inside"])

    def start(self) -> None:
        """Begin to load what is needed, so that the first explanation does not wait for it."""
        forkserver.ensure_running()

    def explain(self, situation: Situation) -> Explanation:
        """The explanation of a situation.

        Raises:
            RefusedError: An expression took too long, or more memory than it may have.
            NotAvailableError: No process can be made, or it does not begin.
            FallowError: It failed.
        """
        return Explanation.model_validate_json(self._inside(situation))

    def fit(self, situation: Situation, requests: Sequence[FitRequest], person: Person) -> FitAnswers:
        """What is to be said of jobs that are not submitted yet; the situation's own job does not count.

        Raises:
            RefusedError: An expression took too long, or more memory than it may have.
            NotAvailableError: No process can be made, or it does not begin.
            FallowError: It failed.
        """
        return FitAnswers.model_validate_json(self._inside(situation, (requests, person)))

    def _inside(self, situation: Situation, asked: Asked | None = None) -> bytes:
        there = replace(situation, job=str(situation.job), whole=[str(ad) for ad in situation.whole])
        receiving, sending = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_run, args=(sending, there, asked), daemon=True)
        try:
            process.start()
        except OSError as error:
            raise NotAvailableError(f"No process can be made: {error.strerror}.", retryable=True) from error
        finally:
            sending.close()
        try:
            if not receiving.poll(START_S):
                raise NotAvailableError("The hub is too busy to explain a job now.", retryable=True)
            receiving.recv_bytes()
            answer = receiving.recv_bytes() if receiving.poll(LIMIT_S) else b""
        except EOFError:
            answer = b""
        finally:
            process.kill()
            process.join()
            receiving.close()
        if not answer and process.exitcode == 1:
            raise FallowError("A job could not be explained; the gateway's log says why.")
        if not answer:
            raise RefusedError(
                "The job's requirements cannot be evaluated in reasonable time.",
                remedy="Simplify the job's requirements.",
            )
        return answer


def _run(sending: Connection, situation: Situation, asked: Asked | None) -> None:
    from fallow_matcher.explain.fence_inside import explained, fitted

    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    sending.send_bytes(b"ready")
    sending.send_bytes(explained(situation) if asked is None else fitted(situation, *asked))
