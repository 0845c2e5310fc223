"""The hub's own look at its HTCondor pool: jobs, history and slots, read with a right to read and no other; and, for the
matcher alone, its negotiator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from fallow.errors import NotAvailableError
from fallow.queue.session import LOCK, bindings, install_token
from fallow_matcher.htcondor import keys
from fallow_matcher.htcondor.idtokens import Mint
from fallow_matcher.identities import daemon_identity
from fallow_matcher.settings import HubSettings

TOKEN_S = 900
"""How long a token for reading lives; a new one is minted when half of that has passed."""

T = TypeVar("T")


@contextmanager
def asking(what: str) -> Iterator[Any]:
    """HTCondor's bindings, while nobody else in this process uses them.

    Args:
        what: Who is asked with them, for an error.

    Raises:
        NotAvailableError: It does not answer, or refuses.
    """
    with LOCK:
        htcondor = bindings()
        try:
            yield htcondor
        except (htcondor.HTCondorException, OSError) as error:
            said = " ".join(str(error).split())
            raise NotAvailableError(f"The {what} does not answer: {said}", retryable=True) from error


def hub_schedd(htcondor: Any, settings: HubSettings) -> Any:
    """The hub's schedd, where its collector says that it is."""
    collector = htcondor.Collector(settings.collector_address)
    return htcondor.Schedd(collector.locate(htcondor.DaemonType.Schedd, settings.schedd_name))


class Pool:
    """Reads the hub's queue and collector. Safe to use from several threads: one asks at a time.

    Args:
        settings: The hub's settings.
        rights: The authorisation levels of its tokens.
    """

    def __init__(self, settings: HubSettings, rights: tuple[str, ...] = ("READ",)) -> None:
        self._settings = settings
        self._rights = rights
        self._mint = Mint(settings.trust_domain, keys.directory(settings))
        self._renew_at = 0.0
        self._schedd: Any = None

    def jobs(self, constraint: str, attributes: Sequence[str] = (), limit: int = -1) -> list[Any]:
        """Ads of the jobs in the queue that fulfil `constraint`; all attributes where none is named.

        Raises:
            NotAvailableError: The queue does not answer.
        """
        return self._ask(
            "queue", lambda schedd: list(schedd.query(constraint, projection=list(attributes), limit=limit))
        )

    def history(self, constraint: str, attributes: Sequence[str] = (), match: int = -1) -> list[Any]:
        """Ads of jobs that have left the queue, the latest first.

        Raises:
            NotAvailableError: The queue does not answer.
        """
        return self._ask(
            "queue", lambda schedd: list(schedd.history(constraint, projection=list(attributes), match=match))
        )

    def slots(self, constraint: str, attributes: Sequence[str] = ()) -> list[Any]:
        """Ads of the slots in the pool that fulfil `constraint`; all attributes where none is named.

        Raises:
            NotAvailableError: The collector does not answer.
        """
        kind = bindings().AdType.Slot
        return self._ask(
            "collector", lambda found: list(found.query(kind, constraint, list(attributes) or None))
        )

    def negotiator(self, call: Callable[[Any], T]) -> T:
        """What `call` makes of the negotiator; most of it needs the level ADMINISTRATOR.

        Raises:
            NotAvailableError: The negotiator does not answer.
        """
        return self._ask("negotiator", call)

    def _ask(self, what: str, call: Callable[[Any], T]) -> T:
        with asking(what) as htcondor:
            self._renew()
            collector = htcondor.Collector(self._settings.collector_address)
            if what == "collector":
                return call(collector)
            if what == "negotiator":
                return call(htcondor.Negotiator(collector.locate(htcondor.DaemonType.Negotiator)))
            known, self._schedd = self._schedd, None  # where the call fails it is located anew
            known = known or hub_schedd(htcondor, self._settings)
            answer = call(known)
            self._schedd = known
            return answer

    def _renew(self) -> None:
        now = int(time.time())
        if now < self._renew_at:
            return
        identity = daemon_identity(self._settings.trust_domain)
        token = self._mint.mint(keys.DAEMON_KEY, identity, self._rights, now=now, expires=now + TOKEN_S)
        install_token(self._settings.trust_domain, token.token)
        self._renew_at = now + TOKEN_S / 2
