"""Talking to HTCondor as one user: the bindings' security settings and the token file.

The bindings know one configuration per process, and look for tokens in a directory. So a process has one
private directory with one file for each trust domain that it talks to; the machine's own HTCondor settings
and tokens do not count.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fallow.errors import NotAvailableError
from fallow.login.peek import peek

if TYPE_CHECKING:
    from types import ModuleType

LOCK = threading.RLock()
"""Held around every call of the bindings: they are not safe to use from two threads."""

_SETTINGS = {
    "SEC_CLIENT_AUTHENTICATION": "REQUIRED",
    "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
    "SEC_CLIENT_ENCRYPTION": "REQUIRED",
    "SEC_CLIENT_INTEGRITY": "REQUIRED",
    "SEC_DEFAULT_AUTHENTICATION_METHODS": "IDTOKENS",
}


class QueueToken(NamedTuple):
    """An HTCondor IDTOKEN and when it ends."""

    value: str
    expires: float
    """Unix time."""

    @property
    def owner(self) -> str:
        """Whose jobs the queue takes the bearer's for, e.g. `alder.alice`: the token's subject before the `@`."""
        return str(peek(self.value)[1]["sub"]).partition("@")[0]

    def __repr__(self) -> str:
        return f"QueueToken(expires={self.expires})"


class _TokenDirectory:
    """The process's private directory of tokens, mode 0700; made at first use, removed at exit."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def path(self) -> Path:
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="fallow-tokens-"))
            atexit.register(self.remove, os.getpid())
        return self._path

    def put(self, name: str, token: str) -> None:
        """Replace the token called `name` in one step."""
        target = self.path() / name
        descriptor, unfinished = tempfile.mkstemp(
            dir=self.path(), prefix="."
        )  # mode 0600; dot files are not read
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(token + "\n")
        Path(unfinished).replace(target)

    def remove(self, owner: int) -> None:
        """Remove the directory, unless this is a forked child of its `owner`."""
        if self._path is not None and os.getpid() == owner:
            shutil.rmtree(self._path, ignore_errors=True)


_tokens = _TokenDirectory()
_configured = False


def bindings() -> ModuleType:
    """The `htcondor2` module, set to speak with nobody whom it has not authenticated by IDTOKEN.

    Raises:
        NotAvailableError: The bindings are not installed.
    """
    global _configured  # noqa: PLW0603 - the bindings' own configuration is global to the process
    with LOCK:
        before = os.environ.get("CONDOR_CONFIG")
        try:
            if before is None:
                # a local HTCondor's settings are none of our business
                os.environ["CONDOR_CONFIG"] = os.devnull
            import htcondor2
        except ImportError as error:
            raise NotAvailableError(
                "The HTCondor bindings are not installed.",
                remedy="Install them with: pip install 'fallow[queue]'",
            ) from error
        finally:
            if before is None:
                os.environ.pop("CONDOR_CONFIG", None)
        if not _configured:
            directory = str(_tokens.path())
            for name, value in {
                **_SETTINGS,
                "SEC_TOKEN_DIRECTORY": directory,
                "SEC_TOKEN_SYSTEM_DIRECTORY": directory,
            }.items():
                htcondor2.param[name] = value
            _configured = True
        module: Any = htcondor2
        return module  # type: ignore[no-any-return]


def install_token(trust_domain: str, token: str) -> None:
    """Use `token` from now on for daemons of `trust_domain`; it is kept in a file of mode 0600 only."""
    with LOCK:
        safe = "".join(
            letter if letter.isalnum() or letter in "-." else "_" for letter in trust_domain
        ).strip(".")
        _tokens.put(safe or "token", token)
