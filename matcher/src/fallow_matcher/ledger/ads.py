"""HTCondor's history files: text in, the attributes that the ledger needs out. Pure.

Every record is a job ad, one attribute to a line, closed by a line that begins with `***`: `EPOCH` as a run ends and
`SPAWN` as one starts (JOB_EPOCH_HISTORY), `Offset = …` as a job leaves the queue (HISTORY).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fallow_matcher.ledger.run import ATTRIBUTES

BANNER = b"*** "
_KNOWN = {name.lower(): name for name in ATTRIBUTES}
_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE][-+]?\d+)?")
_OF_A_RUN = ("EPOCH", "Offset")


def complete(text: bytes) -> int:
    """How many bytes of `text` are whole records."""
    at = len(text)
    while True:
        at = text.rfind(BANNER, 0, at)
        if at < 0:
            return 0
        end = text.find(b"\n", at)
        if end >= 0 and (at == 0 or text[at - 1 : at] == b"\n"):
            return end + 1


def parse(text: bytes) -> Iterator[dict[str, Any]]:
    """The ads of the runs that ended, with the attributes of `ATTRIBUTES` that are literals."""
    ad: dict[str, Any] = {}
    for line in text.decode("utf-8", errors="replace").split("\n"):
        if line.startswith("*** "):
            if line[4:].split(" ", 1)[0] in _OF_A_RUN:
                yield ad
            ad = {}
            continue
        at = line.find(" = ")
        known = _KNOWN.get(line[:at].lower()) if at > 0 else None
        if known is not None:
            ad[known] = _literal(line[at + 3 :])


def _literal(value: str) -> Any:
    if value[:1] == '"' and value[-1:] == '"' and len(value) > 1:
        return value[1:-1].replace('\\"', '"')
    if _INTEGER.fullmatch(value):
        return int(value)
    if _NUMBER.fullmatch(value):
        return float(value)
    return {"true": True, "false": False}.get(value.lower())
