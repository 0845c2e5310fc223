"""What a job says about itself while it runs and at its end: the ends of its output and logs, its memory and CPU time.

One small object in the storage, replaced when there is something new: soon after the start, then less and less often; at
once when the job is asked to stop, for a job that is killed leaves nothing else behind; and at the end. HTCondor's own
figures are samples of a process tree without cgroups: they miss the CPU time of what has ended.

Only the standard library and boto3 may be used: the file travels with each job.
"""

import contextlib
import json
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TAIL_BYTES = 32 << 10
FIRST_S = 5.0
MOST_S = 30.0
SHARE = 0.2
"""The next note is written when the job is so much older, but no sooner than `FIRST_S` and no later than `MOST_S`."""
_SAMPLE_S = 0.5
_LATER_SAMPLE_S = 2.0
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Notes:
    """Writes the notes of this process's job until `finish`.

    Args:
        url: Where to, `s3://BUCKET/KEY`.
        logs: The rule's log files, relative to the working directory.
        client: Gives an S3 client; called when it is first needed.
    """

    def __init__(self, url: str, logs: "list[str]", client: "Callable[[], Any]") -> None:
        place = urlsplit(url)
        self._bucket, self._key = place.netloc, place.path.lstrip("/")
        self._logs = logs
        self._make = client
        self._client: Any = None
        self._began = time.time()
        self._peak_mb = 0.0
        self._last: object = None
        self._lock = threading.Lock()
        self._wakes, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="fallow-notes", daemon=True).start()

    def finish(self, code: int) -> None:
        """Write the last note."""
        self._write(code=code)

    def _watch(self) -> None:
        due = FIRST_S
        while True:
            age = time.time() - self._began
            asked_to_stop = self._signalled(_SAMPLE_S if age < 2 * FIRST_S else _LATER_SAMPLE_S)
            self._peak_mb = max(self._peak_mb, tree_mb(os.getpid()))
            if asked_to_stop or age >= due:
                self._write(stopping=asked_to_stop)
                due = age + min(MOST_S, max(FIRST_S, age * SHARE))

    def _signalled(self, wait_s: float) -> bool:
        """Wait so long; whether the job is asked to stop."""
        if not select.select([self._wakes], [], [], wait_s)[0]:
            return False
        return signal.SIGTERM in os.read(self._wakes, 64)

    def _write(self, *, code: "int | None" = None, stopping: bool = False) -> None:
        with self._lock, contextlib.suppress(Exception):  # a note that cannot be written is no reason to fail
            said = {
                name: tail(Path(f"/proc/self/fd/{number}")) for name, number in (("stdout", 1), ("stderr", 2))
            }
            said.update((name, tail(Path(name))) for name in self._logs)
            if code is None and not stopping and said == self._last:
                return
            self._last = said
            note = {
                "began": self._began,
                "written": time.time(),
                "code": code,
                "stopping": stopping,
                "cpu_s": round(cpu_s(), 2),
                "memory_mb": round(max(self._peak_mb, tree_mb(os.getpid())), 1),
                "said": said,
            }
            if self._client is None:
                self._client = self._make()
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=json.dumps(note).encode())


def tail(path: Path) -> "dict[str, Any] | None":
    """The last bytes of a file as text, and how long it is; None where there is none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            return {"bytes": size, "text": stream.read(TAIL_BYTES).decode("utf-8", "replace")}
    except OSError:
        return None


def cpu_s() -> float:
    """Seconds of CPU time of this process and of all that it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def tree_mb(root: int) -> float:
    """Megabytes of memory that a process and its descendants hold now."""
    parents, held = {}, {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - called often
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                parents[int(entry)], held[int(entry)] = int(fields[1]), int(fields[21])
    ours, size = {root}, 0
    while len(ours) != size:
        size = len(ours)
        ours |= {pid for pid, parent in parents.items() if parent in ours}
    return sum(held.get(pid, 0) for pid in ours) * _PAGE_MB
