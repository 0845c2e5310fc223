"""One testbed host: a root overlay and its own mount, PID, network, UTS and IPC namespaces, held by one process.

The process table is the only record of what runs: a host exists exactly as long as its holder, an `unshare` whose
arguments name the host's directory. Killing the holder makes the kernel remove every process, mount and interface of the
host, whatever else happened before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fallow.errors import FallowError, NotAvailableError
from fallow_testbed.patience import crowding

INIT = Path(__file__).with_name("host-init.sh")
PATH = "/opt/fallow/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Root = Literal["pivot", "chroot", "machine"]

_spawned: list[subprocess.Popen[bytes]] = []
"""What was started to outlive its starter: kept, as Python warns of a running process that nobody knows any more."""


@dataclass(frozen=True)
class Mount:
    """A mount inside a host: `type` as for mount(8), or `bind`; `source` is a path of the machine then."""

    type: str
    source: str
    target: str
    options: str = "defaults"


@dataclass(frozen=True)
class Host:
    """A host of a testbed, running or not.

    Args:
        name: Its host name.
        directory: Where its files live on the machine; its holder is recognised by this path.
        layers: Read-only root file systems, the uppermost first.
        root: How it takes its root: `pivot`; `chroot`, where no user namespaces can be made; `machine`, which is the
            machine's own file system.
        fuse: Whether it has `/dev/fuse`.
        mounts: Further mounts.
    """

    name: str
    directory: Path
    layers: tuple[Path, ...] = ()
    root: Root = "pivot"
    fuse: bool = True
    mounts: tuple[Mount, ...] = field(default=())

    @property
    def upper(self) -> Path:
        """The writable layer: files put here before the start are the host's own, afterwards it must be left alone."""
        return self.directory / "upper"

    @property
    def files(self) -> Path:
        """The host's root as the machine can write it: the running host's view, else the writable layer."""
        try:
            return Path(f"/proc/{self.pid()}/root")
        except NotAvailableError:
            return self.upper

    def start(self, deadline_s: float = 30) -> int:
        """Start the holder and wait until the host's root is in place; returns its first process's id on the machine."""
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "ready").unlink(missing_ok=True)
        if not self.fuse:
            (self.directory / "no-fuse").touch()
        lines = [f"{m.type} {m.source} {m.target} {m.options}\n" for m in self.mounts]
        (self.directory / "mounts").write_text("".join(lines))
        argv = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child=KILL"]
        argv += [
            "/bin/bash",
            str(INIT),
            str(self.directory),
            ":".join(map(str, self.layers)),
            self.name,
            self.root,
        ]
        log = self.directory / "init.log"
        with log.open("wb") as stream:
            holder = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd="/"
            )
        _spawned.append(holder)
        end = time.monotonic() + deadline_s
        while not (self.directory / "ready").exists():
            if holder.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace").strip().splitlines()[-3:]
                holder.kill()
                raise FallowError(
                    f"Host {self.name} did not start: {' / '.join(said) or 'it said nothing'}.",
                    remedy="Run `fallow testbed down` and try again; see the host's init.log for more.",
                )
            time.sleep(0.01)
        return self.pid()

    def pid(self) -> int:
        """The id, on the machine, of the host's first process.

        Raises:
            NotAvailableError: The host does not run.
        """
        for holder in holders(self.directory.parent).get(self.name, []):
            children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
            if children:
                return int(children[0])
        raise NotAvailableError(
            f"Host {self.name} does not run.", remedy="Start the testbed: `fallow testbed up`."
        )

    def enter(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> list[str]:
        """The command line that runs `argv` inside the host.

        Args:
            argv: The command.
            user: The account; at the desk it is always the caller's.
            env: Environment: all of it, but at the desk, where it is added to the caller's.
            directory: Working directory at the desk; the caller's unless given. Elsewhere it is `/`.
        """
        inside = ["nsenter", "--target", str(self.pid()), "--mount", "--uts", "--ipc", "--net", "--pid"]
        if self.root == "machine":
            return [*inside, f"--wd={directory or Path.cwd()}", "--", "env", *_assignments(env), *argv]
        home = "/root" if user == "root" else f"/home/{user}"
        clean = {"PATH": PATH, "HOME": home, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8", **(env or {})}
        if "TERM" in os.environ:
            clean.setdefault("TERM", os.environ["TERM"])
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user != "root" else []
        return [*inside, "--root", "--wd", "--", *become, "env", "-i", *_assignments(clean), *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
        stdin: str | None = None,
        check: bool = True,
        timeout_s: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the host and return what it said.

        Raises:
            FallowError: It failed (and `check`) or did not end in time.
        """
        line = self.enter(argv, user=user, env=env, directory=directory)
        feed = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(
                line, text=True, capture_output=True, timeout=timeout_s * crowding(), check=False, **feed
            )
        except subprocess.TimeoutExpired as error:
            raise FallowError(f"{argv[0]} on {self.name} did not end within {timeout_s:.0f} s.") from error
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-2000:]
            raise FallowError(f"{' '.join(argv[:3])} on {self.name} failed with {done.returncode}: {said}")
        return done

    def spawn(
        self, argv: Sequence[str], *, log: str, user: str = "root", env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a long-running command inside the host; what it says goes to the host's file `log`."""
        path = self.files / log.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            process = subprocess.Popen(
                self.enter(argv, user=user, env=env),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        _spawned.append(process)
        return process

    def kill(self) -> None:
        """End the host with everything in it, and wait until it is gone."""
        kill_holders(holders(self.directory.parent).get(self.name, []))

    def remove(self) -> None:
        """End the host and delete its files."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def holders(hosts: Path) -> dict[str, list[int]]:
    """The holders of all hosts whose directories lie in `hosts`, found in the process table: host name → process ids."""
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if argv[0] == b"unshare" and str(INIT.name).encode() in b" ".join(argv):
            for word in argv:
                path = Path(os.fsdecode(word))
                if path.parent == hosts:
                    found.setdefault(path.name, []).append(int(entry.name))
    return found


def _assignments(env: Mapping[str, str] | None) -> list[str]:
    return [f"{name}={value}" for name, value in (env or {}).items()]


def kill_holders(pids: Sequence[int], deadline_s: float = 120) -> None:
    """End the hosts that these processes hold, all at once, and wait until they are gone.

    Raises:
        FallowError: A process is still there after `deadline_s`.
    """
    firsts = []
    for pid in pids:
        with contextlib.suppress(OSError):
            firsts += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    # The kernel kills a host's first process with its holder; doing it as well covers a holder that had not asked for that
    # yet.
    _end(*pids, *firsts)
    end = time.monotonic() + deadline_s
    while any(Path(f"/proc/{each}").exists() and not _is_zombie(each) for each in (*pids, *firsts)):
        # An nsenter whose command was stopped has stopped itself, and would never take note of the command's end. One that
        # has just been started is not in the process table by this name yet, so it is looked for until all are gone.
        _end(*_entered(firsts))
        if time.monotonic() > end:
            raise FallowError(
                f"Processes {pids} do not end.", remedy="Look at them with `ps`; they may hang in the kernel."
            )
        time.sleep(0.01)


def _end(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _entered(firsts: Sequence[int]) -> list[int]:
    """The machine's `nsenter` processes that wait for commands inside the hosts with these first processes."""
    targets = {str(first).encode() for first in firsts}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0] == b"nsenter" and len(words) > 2 and words[2] in targets:
                found.append(int(entry.name))
    return found


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
