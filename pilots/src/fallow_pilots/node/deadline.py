"""When the pilot must have left: the earliest moment that anybody names, asked again while it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from fallow_pilots.node.features import Features
from fallow_pilots.node.slurm import SlurmEnd
from fallow_pilots.order import Order
from fallow_pilots.spec import PilotSpec

log = logging.getLogger(__name__)

EVERY_S = 10.0


class Deadline:
    """The moment at which what runs is stopped, `drain_grace_s` before the end of the allocation.

    Who may name an end: the launcher (`walltime_s`, and an order's `leave_by`), the batch system, the site's machine and
    job features.

    Args:
        spec: What the launcher asked for.
        started: Unix time at which the pilot started.
        environment: The batch job's environment.
    """

    def __init__(self, spec: PilotSpec, started: float, environment: Mapping[str, str]) -> None:
        walltime = environment.get("PBS_WALLTIME", "")
        self._fixed = {"the launcher": started + spec.walltime_s}
        if walltime.isdigit() and int(walltime) > 0:
            self._fixed["PBS"] = started + int(walltime)
        self._started = started
        self._grace_s = spec.drain_grace_s
        self._slurm = SlurmEnd(environment)
        self._features = Features(environment)
        self._said = ""
        self._due = 0.0
        self._ends = dict(self._fixed)

    def until(self, now: float, order: Order | None = None) -> float:
        """Unix time at which the pilot stops what runs.

        Args:
            now: Unix time.
            order: What the launcher has ordered meanwhile.
        """
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_S
            # An end that had passed when the pilot started cannot be meant.
            said = {**self._slurm.look(now), **self._features.ends()}
            self._ends = {**self._fixed, **{who: end for who, end in said.items() if end > self._started}}
        ends = dict(self._ends)
        if order is not None and order.leave_by is not None:
            ends["the launcher's order"] = order.leave_by.timestamp()
        who = min(ends, key=lambda name: ends[name])
        words = f"the pilot's end is at {ends[who]:.0f}, by {who}"
        if words != self._said:
            log.info("%s", words)
            self._said = words
        return ends[who] - self._grace_s
