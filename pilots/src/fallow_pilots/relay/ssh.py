"""What is said to ssh(1), and what it answers. Pure."""

from __future__ import annotations

import re
import shlex
from base64 import b64decode
from binascii import Error
from collections.abc import Sequence

ALIVE_S, ALIVE_COUNT = 10, 3
"""A connection that was cut is noticed after half a minute."""
ANSWER = "fallow-attach"
"""Begins the lines that are ours: a login shell may say more."""
FAILED = "failed"
_PORT = re.compile(r"Allocated port (\d+) for remote forward")
_REFUSED = re.compile(r"remote port forwarding failed|administratively prohibited", re.IGNORECASE)


def command(destination: str, port: int, options: Sequence[str]) -> list[str]:
    """One connection: a port of the other side's loopback leads to `port` of ours, and a shell there reads what we say.

    The user's own configuration holds: keys, agent, jump hosts, ControlMaster; ssh asks at the terminal what it must ask.
    """
    wanted = {
        "ExitOnForwardFailure": "yes",
        "ServerAliveInterval": ALIVE_S,
        "ServerAliveCountMax": ALIVE_COUNT,
        "LogLevel": "VERBOSE",  # else a connection that shares another's does not name the port
    }
    said = [f"-o{name}={value}" for name, value in wanted.items()]
    extra = [f"-o{option}" for option in options]
    return ["ssh", "-T", *extra, *said, "-R", f"127.0.0.1:0:127.0.0.1:{port}", "--", destination, "sh"]


def port_in(line: str) -> int | None:
    """The port that the other side gave us, where a line of ssh's names it."""
    found = _PORT.search(line)
    return int(found[1]) if found else None


def is_refusal(line: str) -> bool:
    """Whether a line of ssh's says that the other side lets nobody forward ports."""
    return _REFUSED.search(line) is not None


def ask_policy(path: str | None) -> str:
    """What the shell is told to show the centre's policy."""
    place = shlex.quote(path) if path else '"${FALLOW_POLICY:-/etc/fallow/policy.toml}"'
    return f"printf '{ANSWER} policy %s\\n' \"$(base64 {place} | tr -d '\\n')\"\n"


def leave(path: str, text: str) -> str:
    """What the shell is told to leave a private file, whole or not at all, also before the launcher's first cycle."""
    folder, draft, final = (shlex.quote(place) for place in (path.rpartition("/")[0], f"{path}.new", path))
    wrote = f"umask 077; mkdir -p {folder} && printf '%s\\n' {shlex.quote(text)} > {draft} && mv -f {draft} {final}"
    return f"if {wrote}; then echo '{ANSWER} left'; else echo '{ANSWER} {FAILED}'; fi\n"


def answer(line: str) -> tuple[str, str] | None:
    """What was answered and its value, where a line is ours; the policy's text may be empty."""
    words = line.split()
    if len(words) < 2 or words[0] != ANSWER:
        return None
    try:
        return words[1], b64decode("".join(words[2:]), validate=True).decode("utf-8")
    except (Error, ValueError):
        return words[1], ""
