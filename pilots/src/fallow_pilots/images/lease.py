"""A lock on a shared file system that survives whatever happens to its holder.

Locks of the kernel are no help where a centre needs them: on many shared file systems they hold on one node only, or not
at all, and on others the server keeps those of a node that has died. A lease is a file that only one can make, and that its
holder touches every few seconds. Who waits watches it with a clock of its own: clocks of different hosts are never compared.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple, TextIO

log = logging.getLogger(__name__)

BEAT_S = 2.0
DEAD_S = 20.0
"""A lease that nobody has touched for so long belongs to whoever takes it."""
LOOK_S = 0.2


class Seen(NamedTuple):
    """A lease at one moment: which file it is, when it was touched, and who holds it."""

    inode: int
    touched_ns: int
    holder: str


@contextmanager
def lease(
    path: Path,
    *,
    dead_s: float = DEAD_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lease `path`; waits until it is free, or until its holder has shown no life for `dead_s` seconds.

    Should a holder that was taken for dead go on, two hold it: what it protects has to bear that.

    Raises:
        OSError: The directory cannot be written.
    """
    watched: Seen | None = None
    since = clock()
    while (made := _make(path)) is None:
        now, found = clock(), look(path)
        if found != watched:
            watched, since = found, now
        if found is not None and (now - since >= dead_s or _is_dead(found.holder)):
            log.warning("the lease %s of %s is taken over", path.name, found.holder or "nobody")
            _break(path, found)
            continue
        sleep(LOOK_S)
    with _held(path, made):
        yield


@contextmanager
def lease_if_free(path: Path) -> Iterator[bool]:
    """Hold the lease `path` if nobody does; whether it is held."""
    made = _make(path)
    if made is None:
        yield False
        return
    with _held(path, made):
        yield True


def look(path: Path) -> Seen | None:
    """The lease as it is now, or None. The file is opened, which is what makes NFS ask its server."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            return Seen(
                status.st_ino, status.st_mtime_ns, stream.read(1000).decode("utf-8", errors="replace")
            )
    except FileNotFoundError:
        return None


def _make(path: Path) -> TextIO | None:
    """Make the file, which only one can, and keep it open: who breaks a dead lease may have ours aside for a moment."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    stream = os.fdopen(descriptor, "w", encoding="utf-8")
    stream.write(_signature())
    stream.flush()
    return stream


@contextmanager
def _held(path: Path, made: TextIO) -> Iterator[None]:
    """Touch the file until the block ends, then remove it, unless another has taken it meanwhile."""
    with made as stream:
        inode = os.fstat(stream.fileno()).st_ino
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_S):
                with contextlib.suppress(OSError):  # taken over, or the server is away: both show elsewhere
                    os.utime(stream.fileno())

        beating = threading.Thread(target=beat, name="lease", daemon=True)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()
            found = look(path)
            if found is not None and found.inode == inode:
                path.unlink(missing_ok=True)


def _break(path: Path, dead: Seen) -> None:
    """Take a dead lease away. Of several who try, one renames it; who renames a new one instead puts that back."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    found = look(aside)
    if found is not None and found.inode != dead.inode:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _signature() -> str:
    return json.dumps(
        {**_here(), "process": os.getpid(), "began": _began(os.getpid()), "id": secrets.token_hex(8)}
    )


def _is_dead(signature: str) -> bool:
    """Whether the holder was a process of this host that has ended; of other hosts' nothing is known."""
    try:
        said = json.loads(signature)
        here = all(said[name] == value for name, value in _here().items())
        return here and _began(int(said["process"])) != said["began"]
    except (ValueError, KeyError, TypeError):
        return False


def _here() -> dict[str, str]:
    """What tells this host, this boot of it and this view of its processes from any other."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text(encoding="ascii").strip() if boot.exists() else "",
        "processes": str(Path("/proc/self/ns/pid").readlink()),
    }


def _began(process: int) -> str:
    """When a process began, in ticks since the boot; empty where it has ended. See proc(5)."""
    try:
        words = (
            Path(f"/proc/{process}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return ""
    return "" if words[0] in {"Z", "X"} else words[19]
