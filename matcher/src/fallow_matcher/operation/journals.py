"""Files that HTCondor and the hub append to, and how much of one, copied while it grows, is whole.

The schedd's and the negotiator's logs (HTCondor's *ClassAd log*) are lists of operations, one on each line; what belongs
together stands between 105 (begin) and 106 (end). Records of jobs and runs end with a line of asterisks. A log is replaced
by a new file under its name when it is shortened, so whoever has it open reads on in the old one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import BinaryIO

BEGIN, END = b"105", b"106"
NEXT_CLUSTER = b"103 0.0 NextClusterNum "
_LOGS = {"job_queue.log", "Accountantnew.log"}
_RECORDS = re.compile(r"(epoch_)?history(\..*)?")
_BLOCK = 1 << 16


def whole_bytes(name: str, stream: BinaryIO, size: int) -> int:
    """How many of the first `size` bytes of a file called `name` are whole; `stream` is left at its beginning."""
    plain = PurePath(name).name
    length: Callable[[BinaryIO, int], int]
    if plain in _LOGS:
        length = _transactions
    elif _RECORDS.fullmatch(plain):
        length = _records
    elif plain.endswith(".jsonl"):
        length = _lines
    else:
        return size
    found = length(stream, size)
    stream.seek(0)
    return found


def with_gap(log: bytes, gap: int) -> bytes:
    """What to append to a queue's log so that the next cluster of jobs is `gap` higher; empty where there was none."""
    numbers = [line for line in log.splitlines() if line.startswith(NEXT_CLUSTER)]
    return NEXT_CLUSTER + b"%d\n" % (int(numbers[-1].split()[-1]) + gap) if numbers else b""


def _transactions(stream: BinaryIO, size: int) -> int:
    stream.seek(0)
    whole = read = 0
    inside = False
    for line in stream:
        read += len(line)
        if read > size or not line.endswith(b"\n"):
            break
        operation = line.split(b" ", 1)[0].strip()
        inside = operation == BEGIN or (inside and operation != END)
        if not inside:
            whole = read
    return whole


def _records(stream: BinaryIO, size: int) -> int:
    return _last(stream, size, lambda line: line.startswith(b"***"))


def _lines(stream: BinaryIO, size: int) -> int:
    return _last(stream, size, lambda _: True)


def _last(stream: BinaryIO, size: int, ends: Callable[[bytes], bool]) -> int:
    """Where the last whole line that `ends` something ends, looked for from the end on."""
    start, tail = size, b""
    while start > 0:
        start = max(0, start - _BLOCK)
        stream.seek(start)
        tail = stream.read(min(_BLOCK, size - start)) + tail
        lines = tail.split(b"\n")[:-1]
        at = start + len(tail) - len(tail.rsplit(b"\n", 1)[-1])
        first = 1 if start else 0  # the first line of a block may have begun before it
        for line in reversed(lines[first:]):
            if ends(line):
                return at
            at -= len(line) + 1
    return 0
