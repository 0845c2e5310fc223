"""What lies where in the state directory, and what a pilot is called in the batch system."""

from __future__ import annotations

import re
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow.files import private_directory
from fallow_pilots.policy import Policy

UPSTREAM = "upstream.json"


class PilotFiles:
    """The directories of one account's pilots, and their names.

    Args:
        root: The directory of that account below which all lies.
        centre: The centre.
    """

    def __init__(self, root: Path, centre: str) -> None:
        self.root = root
        self.prefix = f"fallow-{centre}-"

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
    def token(self) -> Path:
        """The pilots' token."""
        return self.root / "token"

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

    @staticmethod
    def job_name(pilot: str) -> str:
        """Its name in the batch system."""
        return f"fallow-{pilot}"

    def pilot_of(self, job_name: str) -> str | None:
        """The pilot with this name in the batch system; None when it is not one of this centre."""
        serial = job_name[len(self.prefix) :]
        if job_name.startswith(self.prefix) and re.fullmatch(r"[0-9]{1,12}", serial, re.ASCII):
            return job_name[len("fallow-") :]
        return None


class Layout(PilotFiles):
    """What lies below the policy's `state_dir`, which is the launcher's own.

    Args:
        policy: The centre's policy.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.state_dir, policy.identity.centre)
        self._network = policy.network

    @property
    def store(self) -> Path:
        """The launcher's memory."""
        return self.root / "launcher.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the one launcher that acts for the centre."""
        return self.root / "launcher.lock"

    @property
    def relay(self) -> Path:
        """The terms of the relay."""
        return self.root / "relay.json"

    @property
    def upstream(self) -> Path:
        """The terms of whoever this host gets out by: the site's proxy, or an attached machine."""
        return self.root / UPSTREAM

    @property
    def way(self) -> Path | None:
        """The terms by which nodes reach the hub; None where they dial it themselves."""
        if self._network.relayed:
            return self.relay
        return self.upstream if self._network.profile == "proxy" else None

    def token_of(self, account: str) -> Path:
        """The launcher's copy of the token that the pilots of a person have."""
        return self.root / "accounts" / account / "token"
