"""One ssh connection that leads a login host out; ssh is a program that gives a port and starts a shell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pilots.launcher.conftest import HUB, policy_table

from fallow.errors import FallowError, NotAvailableError, RefusedError, SettingsError
from fallow_pilots.relay import ssh
from fallow_pilots.relay.attach import Wanted, attach
from fallow_pilots.relay.terms import Target, read_terms

TARGET = Target(host="hub", port=8443, address="10.0.0.1", what="gateway")
WORKS = """#!/bin/sh
echo "$$" >> {log}
echo "Welcome to the login host"
echo "Allocated port 4711 for remote forward to 127.0.0.1:1" >&2
exec sh
"""
FORBIDS = """#!/bin/sh
echo "Error: remote port forwarding failed for listen port 0" >&2
exit 255
"""
AWAY = """#!/bin/sh
echo "ssh: connect to host login port 22: No route to host" >&2
exit 255
"""


def toml(table: dict[str, object]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for name, value in table.items():
        if isinstance(value, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(one)}" for key, one in value.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy of a centre that wants to be attached, on the login host."""
    path = tmp_path / "policy.toml"
    path.write_text(toml(policy_table(str(tmp_path), network={"profile": "relay", "attached": True})))
    return path


@pytest.fixture
def become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a script the ssh on PATH; returns the file to which it may write."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def install(script: str) -> Path:
        program = tmp_path / "ssh"
        program.write_text(script.replace("{log}", str(tmp_path / "started")))
        program.chmod(0o755)
        return tmp_path / "started"

    return install


def run(policy: Path, until: Callable[[list[str]], bool], hub: str = HUB) -> list[str]:
    """Attach until something holds of what was said; what was said."""
    said: list[str] = []
    place = policy.parent / "here"
    place.mkdir()
    wanted = Wanted("pilot@login", str(policy), hub, [TARGET])

    async def go() -> None:
        task = asyncio.ensure_future(attach(wanted, place, said.append))
        while not until(said) and not task.done():
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            task.result()

    asyncio.run(asyncio.wait_for(go(), 60))
    return said


def test_the_login_host_is_told_how_to_get_out(policy: Path, become: Callable[[str], Path]) -> None:
    become(WORKS)
    upstream = policy.with_name("upstream.json")
    said = run(policy, bool)
    assert said == [f"alder is attached: its launcher reaches {HUB} by this machine."]
    terms = read_terms(upstream)
    assert terms is not None
    assert (terms.authority, terms.targets) == ("127.0.0.1:4711", (TARGET,))
    assert stat.S_IMODE(upstream.stat().st_mode) == 0o600
    assert terms.key is not None


def test_a_lost_connection_is_made_again(policy: Path, become: Callable[[str], Path]) -> None:
    log = become(WORKS)

    def until(said: list[str]) -> bool:
        if len(said) == 1:
            os.kill(int(log.read_text().split()[0]), signal.SIGKILL)
        return len(said) > 2

    said = run(policy, until)
    assert "The ssh connection ended with -9" in said[1]
    assert said[1].endswith("Trying again in 1 s.")
    assert said[2] == said[0]


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [(FORBIDS, RefusedError, "AllowTcpForwarding remote"), (AWAY, NotAvailableError, "No route to host")],
)
def test_a_first_connection_that_fails_is_told(
    policy: Path, become: Callable[[str], Path], script: str, error: type[FallowError], words: str
) -> None:
    become(script)
    with pytest.raises(error, match=words):
        run(policy, lambda _: False)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("attached = true", "attached = false", "network.attached = true"),
        (HUB, "https://elsewhere.example.org", "names the hub https://elsewhere.example.org"),
    ],
)
def test_a_policy_that_wants_something_else_is_told(
    policy: Path, become: Callable[[str], Path], before: str, after: str, words: str
) -> None:
    become(WORKS)
    policy.write_text(policy.read_text().replace(before, after))
    with pytest.raises(SettingsError, match=words):
        run(policy, lambda _: False)


def test_a_state_directory_that_is_not_there_yet_is_made(policy: Path, become: Callable[[str], Path]) -> None:
    become(WORKS)
    first = policy.parent / "not" / "yet"
    policy.write_text(policy.read_text().replace(json.dumps(str(policy.parent)), json.dumps(str(first))))
    assert run(policy, bool)
    assert stat.S_IMODE(first.stat().st_mode) == 0o700


def test_a_state_directory_of_others_is_told(policy: Path, become: Callable[[str], Path]) -> None:
    become(WORKS)
    policy.write_text(policy.read_text().replace(json.dumps(str(policy.parent)), '"/proc/none"'))
    with pytest.raises(RefusedError, match=r"cannot be written: .*/proc/none"):
        run(policy, lambda _: False)


def test_a_host_without_a_policy_is_told(policy: Path, become: Callable[[str], Path]) -> None:
    become(WORKS)
    policy.unlink()
    with pytest.raises(SettingsError, match="shows no policy"):
        run(policy, lambda _: False)


def test_no_secret_and_no_option_of_a_stranger_is_on_the_command_line() -> None:
    argv = ssh.command("pilot@login", 5000, ["ProxyJump=bastion"])
    assert argv[-3:] == ["--", "pilot@login", "sh"]
    assert "-oProxyJump=bastion" in argv
    assert argv[argv.index("-R") + 1] == "127.0.0.1:0:127.0.0.1:5000"


@pytest.mark.parametrize("line", ["Welcome", "fallow-attach", ""])
def test_what_a_login_shell_says_beside_is_no_answer(line: str) -> None:
    assert ssh.answer(line) is None


def test_a_broken_answer_is_empty() -> None:
    assert ssh.answer("fallow-attach policy %%%") == ("policy", "")
