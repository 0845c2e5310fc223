"""The pilot's private directory on the node: what lies where, made closed to others, removed without a trace."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fallow.errors import NotAvailableError
from fallow_pilots.node import leftovers


@dataclass(frozen=True)
class Layout:
    """Paths below one private directory.

    Payloads see `execute/<their own>` only; everything else here, the token above all, lies outside of it.
    """

    root: Path

    @property
    def config(self) -> Path:
        """HTCondor's main configuration file."""
        return self.root / "condor_config"

    @property
    def overrides(self) -> Path:
        """Directory of configuration that changes while the pilot runs."""
        return self.root / "config.d"

    @property
    def execute(self) -> Path:
        """Payloads' scratch directories."""
        return self.root / "execute"

    @property
    def tokens(self) -> Path:
        """The pilot's HTCondor token, and nothing else."""
        return self.root / "tokens"

    @property
    def passwords(self) -> Path:
        """Stays empty: a pilot holds no signing key."""
        return self.root / "passwords"

    @property
    def logs(self) -> Path:
        """Logs of the HTCondor daemons and the history of the jobs."""
        return self.root / "log"

    @property
    def launcher(self) -> Path:
        """The program that HTCondor starts as Apptainer."""
        return self.root / "bin" / "fallow-apptainer"

    @property
    def payload_entry(self) -> Path:
        """The first program inside the container."""
        return self.root / "bin" / "fallow-payload"

    @property
    def starter(self) -> Path:
        """The program that HTCondor starts as its starter."""
        return self.root / "bin" / "fallow-starter"

    @property
    def procd(self) -> Path:
        """The program that HTCondor starts to watch process families."""
        return self.root / "bin" / "fallow-procd"

    @property
    def hook(self) -> Path:
        """The program that looks at each job before it is started."""
        return self.root / "bin" / "fallow-admit"

    @property
    def jail_plan(self) -> Path:
        """What a starter may see; read by `jail`."""
        return self.root / "bin" / "jail.json"

    @property
    def requests(self) -> Path:
        """One empty file per image that a payload waits for."""
        return self.root / "requests"

    @property
    def staging(self) -> Path:
        """What launchers want staged, and what they are told."""
        return self.root / "staging"

    @property
    def verified(self) -> Path:
        """One mark per image whose digest this pilot has checked."""
        return self.root / "verified"

    @property
    def unpacked(self) -> Path:
        """Images as directories, where the node has no FUSE."""
        return self.root / "unpacked"

    def make(self) -> None:
        """Create every directory, 0700."""
        for name in (
            "bin",
            "config.d",
            "execute",
            "home",
            "jail",
            "log",
            "passwords",
            "requests",
            "run",
            "spool",
            "staging",
            "tokens",
            "unpacked",
            "verified",
        ):
            (self.root / name).mkdir(mode=0o700)


def create(scratch_dir: Path, pilot: str) -> Layout:
    """Make a fresh private directory for `pilot` under `scratch_dir`, and remove what killed ones left there.

    Raises:
        NotAvailableError: The scratch directory is missing, full or read-only.
    """
    leftovers.clear(scratch_dir)
    try:
        prefix = f"{leftovers.PREFIX}{pilot}-"
        layout = Layout(Path(tempfile.mkdtemp(prefix=prefix, dir=scratch_dir)).resolve())
        leftovers.mark(layout.root)
        layout.make()
    except OSError as error:
        raise NotAvailableError(
            f"No directory for the pilot can be made under {scratch_dir}: {error.strerror}.",
            remedy="Name a local, writable scratch directory with free space in the policy.",
        ) from error
    return layout


def remove(layout: Layout) -> None:
    """Delete the private directory."""
    leftovers.remove(layout.root)
