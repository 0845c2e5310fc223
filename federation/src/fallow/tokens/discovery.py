"""Where a program finds the bearer token it is to use (WLCG Bearer Token Discovery)."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fallow.errors import SettingsError
from fallow.files import read_private

logger = logging.getLogger(__name__)

_SPACE = " \f\n\r\t\v"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_MAX_CHARACTERS = 16 * 1024
_SHARED = Path("/tmp")  # noqa: S108 - the specification names it


@dataclass(frozen=True)
class FoundToken:
    """A token and where it was."""

    token: str = field(repr=False)
    """In the form of RFC 6750; what it says is not checked."""
    file: Path | None
    """The file it was in; None for the variable."""

    @property
    def source(self) -> str:
        """The variable or file, for messages."""
        return "BEARER_TOKEN" if self.file is None else str(self.file)


def discover_token(environ: Mapping[str, str] | None = None, *, shared: Path = _SHARED) -> FoundToken | None:
    """The token that the environment offers, or None.

    The first of `$BEARER_TOKEN`, the file `$BEARER_TOKEN_FILE`, `$XDG_RUNTIME_DIR/bt_u<uid>` and
    `/tmp/bt_u<uid>` that is not empty. A file counts only if it is a plain file that nobody but this user
    may read.

    Args:
        environ: Variables; the process's own by default.
        shared: The directory that everybody shares.

    Raises:
        SettingsError: The first that is not empty holds no token, or others may have read it, or
            `$BEARER_TOKEN_FILE` names a file that is missing. Nothing after it is tried: it would not be the
            token that is meant.
    """
    environ = os.environ if environ is None else environ
    for file, content in _candidates(environ, shared):
        token = content.strip(_SPACE)
        if not token:
            continue
        if len(token) > _MAX_CHARACTERS or not _TOKEN.match(token):
            what = f"{file or 'BEARER_TOKEN'} does not hold a bearer token."
            raise SettingsError(what, remedy="Put one there or remove it.")
        return FoundToken(token, file)
    return None


def _candidates(environ: Mapping[str, str], shared: Path) -> Iterator[tuple[Path | None, str]]:
    yield None, environ.get("BEARER_TOKEN", "")
    named = environ.get("BEARER_TOKEN_FILE")
    if named:
        content = read_private(Path(named))
        if content is None:
            what = f"BEARER_TOKEN_FILE names {named}, which does not exist."
            raise SettingsError(what, remedy="Put a token there or unset the variable.")
        yield Path(named), content
    runtime = environ.get("XDG_RUNTIME_DIR")
    for directory in [*([Path(runtime)] if runtime else []), shared]:
        path = directory / f"bt_u{os.geteuid()}"
        yield path, _content(path)


def _content(path: Path) -> str:
    """What is in a usual place; a stranger's file there is neither used nor stops us."""
    with contextlib.suppress(OSError):
        if path.lstat().st_uid != os.geteuid():
            logger.warning("%s belongs to another user and is not used", path)
            return ""
    return read_private(path) or ""
