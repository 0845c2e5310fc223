"""What lies where in the state directory, and what a pilot is called in the batch system."""

from __future__ import annotations

import re
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow.files import private_directory
from fallow_pilots.policy import Policy


class Layout:
    """Paths below the policy's `state_dir`, and names.

    Args:
        policy: The centre's policy.
    """

    def __init__(self, policy: Policy) -> None:
        self.root = policy.state_dir
        self.prefix = f"fallow-{policy.identity.centre}-"

    def make(self) -> None:
        """Make the directories, closed to other users.

        Raises:
            NotAvailableError: It cannot be done.
        """
        try:
            private_directory(self.root)
            private_directory(self.pilots)
        except OSError as error:
            raise NotAvailableError(
                f"Cannot keep state in {self.root}: {error.strerror}.",
                remedy="Let state_dir in the policy name a directory of the launcher's user.",
            ) from error

    @property
    def store(self) -> Path:
        """The launcher's memory."""
        return self.root / "launcher.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the one launcher that acts for the centre."""
        return self.root / "launcher.lock"

    @property
    def token(self) -> Path:
        """The pilots' token."""
        return self.root / "token"

    @property
    def relay(self) -> Path:
        """The terms of the relay."""
        return self.root / "relay.json"

    @property
    def pilots(self) -> Path:
        """One directory for each pilot."""
        return self.root / "pilots"

    def spec(self, pilot: str) -> Path:
        """What the pilot is told."""
        return self.pilots / pilot / "spec.json"

    def script(self, pilot: str) -> Path:
        """Its batch script."""
        return self.pilots / pilot / "pilot.sh"

    def log(self, pilot: str) -> Path:
        """Its output."""
        return self.pilots / pilot / "pilot.log"

    def outcome(self, pilot: str) -> Path:
        """What it says of itself at its end."""
        return self.pilots / pilot / "outcome.json"

    def job_name(self, pilot: str) -> str:
        """Its name in the batch system."""
        return f"fallow-{pilot}"

    def pilot_of(self, job_name: str) -> str | None:
        """The pilot with this name in the batch system; None when it is not one of this centre."""
        serial = job_name[len(self.prefix) :]
        if job_name.startswith(self.prefix) and re.fullmatch(r"[0-9]{1,12}", serial, re.ASCII):
            return job_name[len("fallow-") :]
        return None
