"""The processes that act for the owners of campaigns, and the tokens that they are given."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from fallow.messages import Federation
from fallow.queue.spec import JobSpec
from fallow_matcher.htcondor import keys
from fallow_matcher.htcondor.idtokens import USER_RIGHTS, Mint
from fallow_matcher.identities import user_identity
from fallow_matcher.settings import HubSettings

log = logging.getLogger(__name__)

_Who = tuple[str, tuple[str, ...]]
"""Identity and restricted work types."""

MOST = 8
"""Owners that have a process at the same time; who was not served for the longest time gives way."""
TOKEN_S = 600
"""How long a token lives that a process is given; each request brings a new one."""


class Submitters:
    """Submits jobs in the name of owners.

    Args:
        settings: The hub's settings.
        clock: Unix time.
    """

    def __init__(self, settings: HubSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._mint = Mint(settings.trust_domain, keys.directory(settings))
        self._running: dict[_Who, _Process] = {}
        self._federation = Federation(
            name=settings.name,
            trust_domain=settings.trust_domain,
            collector=settings.collector_address,
            schedd=settings.schedd_name,
            s3_endpoint=settings.storage.endpoint,
            issuers=[],
            centres=[],
        ).model_dump(mode="json")

    def submit(
        self, centre: str, user: str, work_types: tuple[str, ...], specs: Sequence[JobSpec]
    ) -> list[dict[str, Any]]:
        """Submit jobs of one owner; the answers of `submitting.submitted`, none known where the process died."""
        who = (user_identity(centre, user, self._settings.trust_domain), work_types)
        jobs = [spec.model_dump(mode="json") for spec in specs]
        found = self._ask(who, {"jobs": jobs})
        if not isinstance(found, list) or len(found) != len(specs) or not all(found):
            self._end(who)  # it knows no more what the queue has; the next one asks
        return found if isinstance(found, list) else [{} for _ in specs]

    def act(
        self,
        centre: str,
        user: str,
        work_types: tuple[str, ...],
        *,
        take: Sequence[str],
        remove: Sequence[str],
        first: tuple[Sequence[str], int],
    ) -> None:
        """Act on jobs of one owner; what fails is tried again after the next look.

        Args:
            centre: The owner's centre.
            user: The owner's name.
            work_types: The restricted work types that the owner's token allowed.
            take: Jobs whose result is recorded.
            remove: Jobs to remove.
            first: Jobs that get a priority, and that.
        """
        who = (user_identity(centre, user, self._settings.trust_domain), work_types)
        what = {"take": take, "remove": remove, "prioritise": first[0], "priority": first[1]}
        if take or remove or first[0]:
            wrong = self._ask(who, {"act": what})
            if wrong:
                log.warning("jobs of %s: %s", who[0], wrong)

    def remove(self, centre: str, user: str, jobs: Sequence[str], why: str) -> str:
        """Take jobs of one owner back.

        Args:
            centre: The owner's centre.
            user: The owner's name.
            jobs: The jobs; one that is somebody else's is left alone.
            why: What the queue keeps as the reason.

        Returns:
            What went wrong, in words; empty where nothing did.
        """
        who = (user_identity(centre, user, self._settings.trust_domain), ())
        return str(self._ask(who, {"act": {"take": [], "remove": jobs, "prioritise": [], "why": why}}))

    def _ask(self, who: _Who, what: dict[str, Any]) -> Any:
        """The answer of the process that acts for an owner; words where it ended."""
        identity, work_types = who
        now = int(self._clock())
        token = self._mint.mint(
            keys.USER_KEY, identity, USER_RIGHTS, now=now, expires=now + TOKEN_S, work_types=work_types
        )
        request = {
            "token": token.token,
            "expires": token.expires,
            "federation": self._federation,
            **what,
        }
        try:
            return self._process(who).ask(request)
        except (OSError, ValueError) as error:
            self._end(who)
            return f"the process that acts for {identity} ended: {error}"

    def close(self) -> None:
        """End every process."""
        for who in list(self._running):
            self._end(who)

    def _process(self, who: _Who) -> _Process:
        process = self._running.pop(who, None)
        if process is None or process.ended():
            while len(self._running) >= MOST:
                self._end(next(iter(self._running)))
            process = _Process()
        self._running[who] = process
        return process

    def _end(self, who: _Who) -> None:
        process = self._running.pop(who, None)
        if process is not None:
            process.end()


class _Process:
    """A process that submits for one owner."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "fallow_matcher.campaigns.submitting"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and wait for the answer.

        Raises:
            OSError: The process has ended.
            ValueError: It did not answer.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise OSError("no pipe")
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """End it."""
        with contextlib.suppress(OSError), self._process:
            self._process.kill()
