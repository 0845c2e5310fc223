"""Leads a login host out that can dial nothing and takes ssh only: a relay here, and a way to it over one connection.

The login host asks by the same requests as its nodes ask its own relay: with a proof of a key that was made for this
attachment and lies there in a file of its user's. The relay here leads to the hub's places only, and to nothing of ours.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, cast

from fallow.errors import NotAvailableError, RefusedError, SettingsError
from fallow.settings import parse_text
from fallow_pilots.layout import UPSTREAM
from fallow_pilots.policy import Policy
from fallow_pilots.relay import ssh
from fallow_pilots.relay.limits import within
from fallow_pilots.relay.server import Relay
from fallow_pilots.relay.terms import Target, Terms

log = logging.getLogger(__name__)

ANSWER_S = 30.0
LONGEST_PAUSE_S = 60.0
KEPT_LINES = 5


@dataclass(frozen=True)
class Wanted:
    """One attachment.

    Args:
        destination: As ssh knows it, `user@host`.
        policy: Where the policy lies there; None: where it lies usually.
        hub: URL of the gateway that this machine knows.
        targets: Where to lead.
        options: Further options of ssh, `Name=value`.
    """

    destination: str
    policy: str | None
    hub: str
    targets: Sequence[Target]
    options: Sequence[str] = ()


class LostError(NotAvailableError):
    """The connection ended."""


async def attach(wanted: Wanted, place: Path, say: Callable[[str], None]) -> None:
    """Lead the login host out until this task is cancelled; connections that are lost are made anew.

    Args:
        wanted: What to attach.
        place: A private directory of this process.
        say: Tells the user.

    Raises:
        FallowError: The first connection failed, or the other side forbids what is needed.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    terms = Terms(host="127.0.0.1", port=port, key=secrets.token_hex(32), targets=tuple(wanted.targets))
    own = place / "relay.json"
    terms.write(own)
    relay = asyncio.ensure_future(Relay(own, lease_s=float("inf")).serve())
    link = asyncio.ensure_future(_keep(wanted, terms, say))
    try:
        await asyncio.wait([relay, link], return_when=asyncio.FIRST_COMPLETED)
        for ended in (relay, link):
            if ended.done():
                ended.result()
    finally:
        for task in (relay, link):
            task.cancel()
        await asyncio.gather(relay, link, return_exceptions=True)


async def _keep(wanted: Wanted, terms: Terms, say: Callable[[str], None]) -> None:
    was_there = False
    pause_s = 1.0

    def attached(centre: str) -> None:
        nonlocal was_there, pause_s
        was_there, pause_s = True, 1.0
        say(f"{centre} is attached: its launcher reaches {wanted.hub} by this machine.")

    while True:
        try:
            await _once(wanted, terms, attached)
        except LostError as error:
            if not was_there:
                raise
            say(f"{error.what} Trying again in {pause_s:.0f} s.")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _once(wanted: Wanted, terms: Terms, attached: Callable[[str], None]) -> None:
    """One connection until it is lost.

    Raises:
        LostError: It ended, or never was.
        RefusedError: The other side forbids to forward ports.
        SettingsError: The policy there does not fit.
    """
    argv = ssh.command(wanted.destination, terms.port, wanted.options)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
    heard = _Heard(process)
    try:
        port = await heard.port()
        policy = _policy(await heard.ask(ssh.ask_policy(wanted.policy), "policy"), wanted)
        there = terms.model_copy(update={"port": port})
        path = str(policy.state_dir / UPSTREAM)
        await heard.ask(ssh.leave(path, there.model_dump_json()), "left")
        attached(policy.identity.centre)
        await heard.end()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        heard.stop()


class _Heard:
    """What ssh and the shell behind it say."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process  # with three pipes
        self._shell = cast("asyncio.StreamWriter", process.stdin)
        self._answers = cast("asyncio.StreamReader", process.stdout)
        self._said = cast("asyncio.StreamReader", process.stderr)
        self._lines: list[str] = []
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._errors = asyncio.ensure_future(self._read_errors())

    def stop(self) -> None:
        self._errors.cancel()
        self._port.cancel()

    async def _read_errors(self) -> None:
        while line := (await self._said.readline()).decode(errors="replace").strip():
            log.debug("ssh: %s", line)
            self._lines = [*self._lines, line][-KEPT_LINES:]
            found = ssh.port_in(line)
            if found and not self._port.done():
                self._port.set_result(found)

    async def port(self) -> int:
        """The port there that leads here; a person may have to answer questions before, so it is waited for."""
        both: list[asyncio.Future[Any]] = [self._port, self._errors]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not self._port.done():
            await self.end()
        return self._port.result()

    async def ask(self, words: str, wanted: str) -> str:
        """Say something to the shell, and return the value of its answer."""
        with suppress(OSError):
            self._shell.write(words.encode())
            await self._shell.drain()
        try:
            while line := await within(self._answers.readline(), ANSWER_S):
                found = ssh.answer(line.decode(errors="replace"))
                if found and found[0] == wanted:
                    return found[1]
                if found and found[0] == ssh.FAILED:
                    self._shell.close()  # it ends, and has said all then
                    await asyncio.wait([self._errors], timeout=ANSWER_S)
                    raise _unwritten(self._lines)
        except (asyncio.TimeoutError, ValueError) as error:
            raise LostError("The other side does not answer as a shell does.") from error
        await self.end()
        return ""

    async def end(self) -> None:
        """Wait for the end of the connection.

        Raises:
            LostError: Always, but where the following is raised.
            RefusedError: The other side forbids to forward ports.
        """
        status = await self._process.wait()
        await self._errors
        if any(ssh.is_refusal(line) for line in self._lines):
            raise RefusedError(
                "The ssh server lets this account forward no port.",
                remedy="Ask its admin for `AllowTcpForwarding remote` and `PermitListen localhost:*` in sshd_config, for "
                "this account (`Match User`).",
            )
        said = " / ".join(self._lines) or "it said nothing"
        raise LostError(f"The ssh connection ended with {status}: {said}.", retryable=True)


def _unwritten(said: Sequence[str]) -> RefusedError:
    return RefusedError(
        f"The file that leads the launcher out cannot be written: {said[-1] if said else 'nobody says why'}.",
        remedy="Let state_dir in the policy name a directory of that account's.",
    )


def _policy(text: str, wanted: Wanted) -> Policy:
    """The policy of the centre, if it wants to be attached to this machine's hub."""
    if not text:
        raise SettingsError(
            f"{wanted.destination} shows no policy.",
            remedy="Name the place where it lies there: --policy PATH.",
        )
    policy = parse_text(Policy, text, source=f"the policy at {wanted.destination}")
    if not policy.network.attached:
        raise SettingsError(
            "The centre's policy does not want to be attached.", remedy="Write there: network.attached = true"
        )
    if policy.identity.hub.rstrip("/") != wanted.hub.rstrip("/"):
        raise SettingsError(
            f"The centre's policy names the hub {policy.identity.hub}, this machine knows {wanted.hub}.",
            remedy="Let FALLOW_HUB, or the client's configuration, name the same.",
        )
    return policy
