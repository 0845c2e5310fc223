"""Acts on jobs as their owner, in a process of its own: `python -m fallow_matcher.campaigns.submitting`.

HTCondor's bindings know one identity per process, and keep its sessions. So each owner has a process that holds a token of
that owner and no other, with the rights that the owner's own clients have; the schedd cannot tell it from one of these.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from fallow.errors import FallowError, NotAvailableError, RefusedError
from fallow.messages import Federation
from fallow.queue.client import Queue
from fallow.queue.session import QueueToken
from fallow.queue.spec import JobSpec

RECYCLE = 20_000
"""A process that has submitted so many jobs ends: it remembers them all."""


def serve() -> None:
    """Answer requests, one JSON object in a line each, until there are no more."""
    token = [QueueToken("", 0)]
    queue: Queue | None = None
    done = 0
    for line in sys.stdin:
        request = json.loads(line)
        token[0] = QueueToken(request["token"], request["expires"])
        if queue is None or done > RECYCLE:
            queue = Queue(Federation.model_validate(request["federation"]), lambda: token[0])
            done = 0
        answer: Any
        if "jobs" in request:
            answer = submitted(queue, [JobSpec.model_validate(spec) for spec in request["jobs"]])
            done += len(request["jobs"])
        else:
            answer = acted(queue, request["act"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def submitted(queue: Queue, specs: list[JobSpec]) -> list[dict[str, Any]]:
    """Submit all in one go, or each half of them where one is refused: a bad row never blocks the rest.

    Returns:
        For each job its id, or the words with which it was refused; an empty object where it is not known what became
        of it.
    """
    try:
        return [{"job": job} for job in queue.submit(specs)]
    except NotAvailableError:
        return [{} for _ in specs]
    except RefusedError as error:
        if len(specs) == 1:
            return [{"refused": str(error)}]
        middle = len(specs) // 2
        return submitted(queue, specs[:middle]) + submitted(queue, specs[middle:])
    except FallowError as error:
        return [{"refused": str(error)} for _ in specs]


def acted(queue: Queue, act: dict[str, Any]) -> str:
    """Take, remove and prioritise jobs; what went wrong, in words, empty where nothing did."""
    wrong = []
    for name, call in (
        ("take", queue.take),
        ("remove", lambda ids: queue.remove(ids=ids, reason=act.get("why", "by the campaign"))),
        ("prioritise", lambda ids: queue.prioritise(ids, act["priority"])),
    ):
        try:
            if act[name]:
                call(act[name])
        except FallowError as error:
            wrong.append(f"{name}: {error}")
    return "; ".join(wrong)


if __name__ == "__main__":
    serve()
