"""Keys and tokens come to an end: rotation at the issuer and the hub, a dead issuer, revocation; timed and printed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from fallow.client import connect
from fallow.hub import HubRefusedError
from fallow.queue.session import bindings, install_token
from fallow_testbed import issuer
from fallow_testbed.host import Host
from fallow_testbed.wait import wait_until

SESSION_S = 300
"""The hub's `session_s`: nothing that was revoked may be good for longer."""
CENTRE = "cedar"


def part(token: str, number: int) -> dict[str, Any]:
    """Header (0) or claims (1) of a token, unchecked."""
    text = token.split(".")[number]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


def allowed(somebody: Any, level: str = "READ") -> bool:
    """Whether a new connection to the collector is let in."""
    said = somebody.run("condor_ping", "-type", "collector", "-pool", "hub:9618", level)
    return said.returncode == 0 and "succeeded" in said.stdout.lower()


@pytest.fixture
def hub_command(hub_host: Host) -> Callable[..., CompletedProcess[str]]:
    """`hub_command(*words)`: run `fallow hub …` as the operator does."""
    return lambda *words: hub_host.run(["fallow", "hub", *words])


@pytest.fixture
def undone(hub_command: Callable[..., Any]) -> Iterator[list[tuple[str, str]]]:
    """What a test revokes is put here, and taken back after it."""
    revoked: list[tuple[str, str]] = []
    yield revoked
    for words in revoked:
        hub_command("revoke", *words, "--undo")


@pytest.fixture
def dead_issuer(hub_host: Host) -> Iterator[None]:
    """The issuer takes connections and never answers."""
    serving = hub_host.run(["pgrep", "-u", "issuer", "-f", "fallow-dev-issuer serve"]).stdout.split()
    hub_host.run(["kill", "-STOP", *serving])
    yield
    hub_host.run(["kill", "-CONT", *serving])


def test_a_token_signed_with_the_issuers_next_key_is_taken_at_once(
    hub_host: Host, wlcg: Callable[..., str], condor_token: Callable[..., str], at: Callable[..., Any]
) -> None:
    old = wlcg("alice")
    hub_host.run(["fallow-dev-issuer", "rotate", "--state", issuer.STATE], user="issuer")
    new = wlcg("alice")
    assert part(new, 0)["kid"] != part(old, 0)["kid"]
    began = time.monotonic()
    assert at("alice", exchanges, new)
    print(f"\nthe issuer's next key was taken within {time.monotonic() - began:.2f} s")
    assert at("alice", exchanges, old), "the old key's tokens are good until they end"


def exchanges(token: str) -> bool:
    """Whether the gateway gives an HTCondor token for a WLCG one; called at the desk."""
    client = connect()
    client._token = lambda: token
    try:
        return bool(client.exchange("condor:/READ condor:/WRITE condor:/ADVERTISE_STARTD").token)
    except HubRefusedError as error:
        if error.code != "token_revoked":
            raise
        return False


def test_with_a_dead_issuer_good_tokens_are_taken_and_jobs_run(
    dead_issuer: None, wlcg: Callable[..., str], at: Callable[..., Any], jobs: Callable[..., Any]
) -> None:
    assert at("alice", exchanges, wlcg("alice"))
    ended = jobs("alice", {"job": {"argv": ("true",)}})
    assert ended["job"].record.succeeded


def test_the_hubs_keys_rotate_and_retire(
    hub_command: Callable[..., CompletedProcess[str]],
    condor_token: Callable[..., str],
    attacker: Callable[..., Any],
) -> None:
    old = condor_token("alice")
    holder = attacker(old)
    assert allowed(holder)
    made = hub_command("rotate", "users").stdout.split()[-1]
    keys = {row["key"]: row["signs"] for row in json.loads(hub_command("keys", "--json").stdout)}
    assert keys[made] is True
    assert keys[part(old, 0)["kid"]] is False
    new = condor_token("alice")
    assert part(new, 0)["kid"] == made
    assert allowed(attacker(new))
    assert allowed(holder), "a token of the old key is good until it is retired"

    began = time.monotonic()
    hub_command("rotate", "users", "--retire")
    wait_until(lambda: not allowed(holder), "the refusal of a retired key's token", 30)
    print(f"\na retired key's token was refused {time.monotonic() - began:.1f} s after the command")
    assert allowed(attacker(condor_token("alice")))


def test_one_token_is_revoked_by_its_id_and_no_other(
    hub_command: Callable[..., Any],
    undone: list[tuple[str, str]],
    condor_token: Callable[..., str],
    attacker: Callable[..., Any],
) -> None:
    stolen, kept = condor_token("alice"), condor_token("alice")
    holder, owner = attacker(stolen), attacker(kept)
    assert allowed(holder)
    words = ("--jti", part(stolen, 1)["jti"])
    undone.append(words)
    began = time.monotonic()
    hub_command("revoke", *words)
    wait_until(lambda: not allowed(holder), "the refusal of a revoked token", 30)
    print(f"\na revoked token was refused {time.monotonic() - began:.1f} s after the command")
    assert allowed(owner)


def test_a_wlcg_token_is_revoked_by_its_id(
    hub_command: Callable[..., Any],
    undone: list[tuple[str, str]],
    wlcg: Callable[..., str],
    at: Callable[..., Any],
) -> None:
    stolen, kept = wlcg("alice"), wlcg("alice")
    words = ("--jti", part(stolen, 1)["jti"])
    undone.append(words)
    hub_command("revoke", *words)
    assert not at("alice", exchanges, stolen)
    assert at("alice", exchanges, kept)


def advertises_until_refused(token: str, began: Path, stop: Path) -> float:
    """Advertise over one session until that is refused; its moment (monotonic, seconds); called at the desk."""
    htcondor = bindings()
    import classad2

    install_token("fallow.test", token)
    collector = htcondor.Collector("hub:9618")
    ad = classad2.ClassAd(
        {
            "MyType": "Machine",
            "Name": f"slot1@{CENTRE}-99999@nowhere",
            "Machine": "nowhere",
            "FallowCentre": CENTRE,
            "MyAddress": "<10.77.0.2:1>",
            "Requirements": False,
        }
    )
    end = time.monotonic() + 2 * SESSION_S
    while time.monotonic() < end and not stop.exists():
        try:
            collector.advertise([ad], "UPDATE_STARTD_AD", True)
            collector.query(htcondor.AdType.Any, "false")
        except htcondor.HTCondorException:
            return time.monotonic()
        began.touch()
        time.sleep(0.1)
    raise AssertionError("The session still stands.")


def test_a_revoked_centre_is_out_at_once_and_its_sessions_soon(
    hub_command: Callable[..., Any],
    undone: list[tuple[str, str]],
    condor_token: Callable[..., str],
    wlcg: Callable[..., str],
    attacker: Callable[..., Any],
    at: Callable[..., Any],
    tmp_path: Path,
) -> None:
    token = condor_token(f"launcher-{CENTRE}")
    thief, member, stranger = attacker(token), attacker(condor_token("mona")), attacker(condor_token("alice"))
    wait_until(
        lambda: allowed(thief, "ADVERTISE_STARTD"), "the pilot's right, after what was undone before", 30
    )
    began, stop, words = tmp_path / "began", tmp_path / "stop", ("--centre", CENTRE)
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(at, "alice", advertises_until_refused, token, began, stop)
        try:
            wait_until(began.exists, "the session", 30)
            undone.append(words)
            start = time.monotonic()
            hub_command("revoke", *words)
            wait_until(lambda: not allowed(thief, "ADVERTISE_STARTD"), "the refusal of the pilot's token", 30)
            refused_s = time.monotonic() - start
            ended_s = session.result() - start
        finally:
            stop.touch()
    print(f"\na revoked centre: new connections refused {refused_s:.1f} s after the command,", end=" ")
    print(f"a standing session {ended_s:.1f} s after it (at most {SESSION_S} s)")
    assert ended_s < SESSION_S
    assert not allowed(member)
    assert allowed(stranger)
    assert not at("alice", exchanges, wlcg(f"launcher-{CENTRE}"))
    assert not at("alice", exchanges, wlcg("mona"))
    assert at("alice", exchanges, wlcg("alice"))

    hub_command("revoke", *words, "--undo")
    undone.clear()
    wait_until(lambda: allowed(thief, "ADVERTISE_STARTD"), "the end of the revocation", 30)


def test_a_revoked_pilot_token_loses_the_connection_that_it_holds(
    hub_command: Callable[..., Any],
    undone: list[tuple[str, str]],
    condor_token: Callable[..., str],
    attacker: Callable[..., Any],
    operator: Callable[..., CompletedProcess[str]],
    at: Callable[..., Any],
    tmp_path: Path,
) -> None:
    stolen, kept = condor_token(f"launcher-{CENTRE}"), condor_token(f"launcher-{CENTRE}")
    began, stop, words = tmp_path / "began", tmp_path / "stop", ("--jti", part(stolen, 1)["jti"])
    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(at, "alice", advertises_until_refused, stolen, began, stop)
        try:
            wait_until(began.exists, "the session", 30)
            undone.append(words)
            start = time.monotonic()
            hub_command("revoke", *words)
            ended_s = session.result() - start
        finally:
            stop.touch()
    print(f"\na revoked pilot token: its standing connection ended {ended_s:.1f} s after the command")
    assert ended_s < SESSION_S
    assert not allowed(attacker(stolen), "ADVERTISE_STARTD")
    wait_until(
        lambda: allowed(attacker(kept), "ADVERTISE_STARTD"), "the collector for the centre's other token", 60
    )
    slots = ("condor_status", "-af", "Name")
    wait_until(lambda: bool(operator(*slots, check=False).stdout), "the pool's slots", 200)
