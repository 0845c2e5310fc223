"""Keeps the token of the hub's own HTCondor daemons fresh: the gateway runs all the time and has the keys."""

from __future__ import annotations

import logging
import threading
import time

import jwt

from fallow.errors import FallowError
from fallow_matcher.htcondor.configure import DAEMON_TOKEN, renew_daemon_token
from fallow_matcher.settings import HubSettings

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 600


def is_due(token: str, now: float, life_s: int) -> bool:
    """Whether a token has less than half of its life left, or cannot be read.

    Args:
        token: The compact token.
        now: Unix time, seconds.
        life_s: Seconds that a fresh one lives.
    """
    try:
        expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    except (jwt.PyJWTError, KeyError, ValueError):
        return True
    return bool(expires - now < life_s / 2)


class Renewal:
    """Looks after the token in a thread of its own until it is closed.

    Args:
        settings: The hub's settings.
    """

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Look once now, then go on in the background."""
        self.look()
        self._thread.start()

    def look(self) -> None:
        """Renew the token if it is due; a failure is logged and tried again at the next look."""
        path = self._settings.state_dir / "tokens" / DAEMON_TOKEN
        try:
            token = path.read_text(encoding="ascii").strip() if path.exists() else ""
            if is_due(token, time.time(), self._settings.lives.daemon_token_s):
                renew_daemon_token(self._settings)
                logger.info("renewed the daemons' token")
        except (OSError, UnicodeError, FallowError):
            logger.exception("the daemons' token cannot be renewed")

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(LOOK_EVERY_S):
            self.look()
