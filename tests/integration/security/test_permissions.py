"""Who may do what in the pool: `condor_ping -table ALL` for each identity, against the committed table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from fallow_testbed.testbed import Testbed
from fallow_testbed.wait import wait_until

TABLE = Path(__file__).with_name("permissions.txt")
IDENTITIES = ("nobody", "user", "pilot", "hub")
DAEMONS = ("collector", "schedd", "negotiator", "master")

Operator = Callable[..., CompletedProcess[str]]


def decisions(said: str) -> dict[str, str]:
    """Level → identity that is allowed, or `-`, from what `condor_ping -table` prints."""
    found = {}
    for line in said.splitlines()[1:]:
        words = line.split()
        found[words[0]] = words[5] if words[4] == "ALLOW" else "-"
    return found


def addresses(operator: Operator) -> dict[str, str]:
    """The address of each daemon of the hub, which an attacker may well have found out."""
    found = {}
    for name in DAEMONS:
        asked = operator("condor_status", f"-{name}", "-constraint", 'Machine == "hub"', "-af", "MyAddress")
        found[name] = asked.stdout.split()[0]
    assert all(address.startswith("<") for address in found.values())
    return found


Ping = Callable[[list[str]], str]
"""Runs a command as somebody; what it prints."""


def asked(address: str, everybody: dict[str, Ping]) -> dict[str, dict[str, str]]:
    """What a daemon decides for each identity."""
    ping = ["condor_ping", "-addr", address, "-table", "ALL"]
    return {name: decisions(run(ping)) for name, run in everybody.items()}


def asked_of_a_pilot(operator: Operator, everybody: dict[str, Ping]) -> dict[str, dict[str, str]]:
    """What a pilot decides at its own port, which its centre's network may reach.

    Pilots leave when they like, and the ads of those that left remain a while: one must answer everybody.
    """
    query = ["condor_status", "-startd", "-constraint", "FallowPilot =!= undefined", "-af", "MyAddress"]
    found: list[dict[str, dict[str, str]]] = []

    def answers() -> bool:
        for address in {dialled(line) for line in operator(*query).stdout.split()}:
            decided = asked(address, everybody)
            if all(decided.values()):
                found.append(decided)
        return bool(found)

    wait_until(answers, "a pilot", 120, pause_s=0.5)
    return found[0]


def dialled(address: str) -> str:
    """The address by which a daemon behind a shared port is dialled, without the broker that the hub would ask."""
    place, _, rest = address.strip("<>").partition("?")
    shared = [part for part in rest.split("&") if part.startswith("sock=")]
    return f"<{'?'.join([place, *shared])}>"


def table(seen: dict[str, dict[str, dict[str, str]]]) -> str:
    """The table as text: a row for each daemon and level, a column for each identity."""
    lines = [f"{'daemon':<12}{'level':<18}" + "".join(f"{name:<28}" for name in IDENTITIES).rstrip()]
    for daemon in (*DAEMONS, "startd"):
        for level in seen[daemon]["nobody"]:
            cells = [seen[daemon][name][level] for name in IDENTITIES]
            lines.append(f"{daemon:<12}{level:<18}" + "".join(f"{cell:<28}" for cell in cells).rstrip())
    return "\n".join(lines) + "\n"


def test_each_identity_may_do_what_the_table_says_and_no_more(
    attacker: Callable[..., Any], condor_token: Callable[..., str], operator: Operator
) -> None:
    outsiders = {
        "nobody": attacker(),
        "user": attacker(condor_token("alice")),
        "pilot": attacker(condor_token("launcher-cedar")),
    }
    everybody: dict[str, Ping] = {
        name: lambda argv, somebody=somebody: somebody.run(*argv).stdout  # type: ignore[misc]
        for name, somebody in outsiders.items()
    }
    everybody["hub"] = lambda argv: operator(*argv, check=False).stdout
    seen = {daemon: asked(address, everybody) for daemon, address in addresses(operator).items()}
    seen["startd"] = asked_of_a_pilot(operator, everybody)
    comments = "".join(line for line in TABLE.read_text().splitlines(True) if line.startswith("#"))
    assert comments + table(seen) == TABLE.read_text()


@pytest.mark.parametrize("scope", ["condor:/READ", "condor:/WRITE"])
def test_a_user_who_asks_for_less_gets_less(
    attacker: Callable[..., Any], condor_token: Callable[..., str], operator: Operator, scope: str
) -> None:
    narrow = attacker(condor_token("alice", scope))
    ping = ["condor_ping", "-addr", addresses(operator)["schedd"], "-table", "ALL"]
    allowed = {
        level for level, who in decisions(narrow.run(*ping).stdout).items() if who.startswith("alder.")
    }
    assert allowed == {"READ", "WRITE"} & {scope.rpartition("/")[2], *(["READ"] if "WRITE" in scope else [])}


def test_the_configuration_in_effect_has_no_finding(bed: Testbed) -> None:
    assert bed.host("hub").run(["fallow", "hub", "check", "--json"]).stdout.strip() == "[]"
