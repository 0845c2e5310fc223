"""What this user saw of a hub's history before: a hub that took entries back, or tells two stories, is found out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from fallow.errors import SettingsError
from fallow.files import private_directory, read_private, write_private
from fallow.login.store import state_directory
from fallow.messages import Digest
from fallow.offers import Message
from fallow.rules.entry import Line
from fallow.rules.history import HistoryError


class Seen(Message):
    """The last entry that was seen."""

    seq: int
    hash: Digest


class Memory:
    """Remembers the last entry seen of one hub's history, in the user's state directory.

    Args:
        hub: The hub's URL.
        environ: The environment.
    """

    def __init__(self, hub: str, environ: Mapping[str, str]) -> None:
        name = hashlib.sha256(hub.encode()).hexdigest()[:16]
        self._path: Path = state_directory(environ) / "rules" / f"{name}.json"

    def check(self, lines: Sequence[Line]) -> int:
        """Hold a history that `replay` found unbroken against what was seen, and remember its last entry.

        Returns:
            How many entries had been seen before; 0 the first time.

        Raises:
            HistoryError: What was seen is not in it.
            SettingsError: The memory cannot be read.
        """
        before = self._load()
        if before is not None and (len(lines) < before.seq or lines[before.seq - 1].hash != before.hash):
            raise HistoryError(
                f"The hub's history of the rules lacks entry {before.seq} as you saw it before: it took something back.",
                remedy="Ask the other centres what they saw. To start afresh, remove " + str(self._path),
            )
        latest = Seen(seq=len(lines), hash=lines[-1].hash)
        if latest != before:
            private_directory(self._path.parent)
            write_private(self._path, latest.model_dump_json() + "\n")
        return before.seq if before else 0

    def _load(self) -> Seen | None:
        text = read_private(self._path)
        if text is None:
            return None
        try:
            return Seen.model_validate_json(text)
        except ValidationError as error:
            raise SettingsError(f"{self._path} cannot be read.", remedy="Remove it.") from error
