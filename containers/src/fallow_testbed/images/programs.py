"""Runs the programs that build images: none outlives this process, and a failure is told in one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from fallow.errors import FallowError, NotAvailableError

_PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "apt-get": "apt",
    "apt-config": "apt",
    "dpkg-deb": "dpkg",
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ProgramError(FallowError):
    """A program ended with a failure; `output` is what it said."""

    def __init__(self, what: str, *, output: str) -> None:
        super().__init__(what)
        self.output = output


def require_root(purpose: str) -> None:
    """Check that this process may mount and unshare.

    Raises:
        NotAvailableError: It is not root.
    """
    if os.geteuid() != 0:
        raise NotAvailableError(
            f"{purpose} needs root, and this is user {os.geteuid()}.", remedy="Run it with sudo."
        )


def require_programs(*names: str) -> None:
    """Check that programs are on PATH.

    Raises:
        NotAvailableError: One is missing; the message names the Debian packages to install.
    """
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        packages = sorted({_PACKAGES.get(name, name) for name in missing})
        verb = "is" if len(missing) == 1 else "are"
        raise NotAvailableError(
            f"{' and '.join(missing)} {verb} not installed.",
            remedy=f"Run `apt-get install {' '.join(packages)}`.",
        )


class Runner:
    """Runs the programs of one build, one after another; what they say goes to `log`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Run a program to its end.

        Raises:
            ProgramError: It ended with a failure, or the runner was stopped.
        """
        tied = ["setpriv", "--pdeathsig", "KILL", "--", *argv]  # a killed build leaves no program behind
        with self.log.open("a+b") as stream:
            start = stream.tell()
            with self._lock:
                if self._stopped:
                    raise ProgramError("The build was stopped.", output="")
                self._process = process = subprocess.Popen(
                    tied,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=env,
                    start_new_session=True,  # Ctrl-C reaches us alone, and we end the rest
                )
            code = process.wait()
            stream.seek(start)
            output = stream.read().decode(errors="replace") if code else ""
        if code:
            raise ProgramError(f"{Path(argv[0]).name} ended with code {code}.", output=output)

    def stop(self) -> None:
        """End what runs and start nothing more; to be called from another thread."""
        with self._lock:
            self._stopped = True
            if self._process:
                self._process.kill()


def isolated(argv: Sequence[str], *, network: bool = False) -> list[str]:
    """The command line that runs `argv` in mount, PID and IPC namespaces of its own, which end with it."""
    spaces = ["--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private"]
    return ["unshare", *spaces, *([] if network else ["--net"]), "--", *argv]


def inside(
    layers: Sequence[Path],
    argv: Sequence[str],
    *,
    scratch: Path,
    binds: Mapping[str, Path] | None = None,
    network: bool = False,
) -> list[str]:
    """The command line that runs `argv` in a root file system made of layers, without a network unless it is asked for.

    What it writes is lost, but for what lies in `binds`.

    Args:
        layers: Root directories, the top one first; none is changed.
        argv: The program and its arguments, with paths of the inside.
        scratch: An empty directory to mount on; nobody else sees the mounts.
        binds: Directory outside for each path inside.
        network: Whether the machine's network is there, so its loopback interface.
    """
    mounts = [str(item) for pair in (binds or {}).items() for item in pair]
    script = str(resources.files(__package__) / "inside.sh")
    lower = ":".join(str(layer) for layer in layers)
    return isolated(
        ["sh", script, str(scratch), lower, str(len(binds or {})), *mounts, *argv], network=network
    )


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of programs inside an image: nothing of the machine's own."""
    return {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **(extra or {})}
