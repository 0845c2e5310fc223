"""A payload finds no secret, reaches no other process, and takes no more than its slot."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fallow.queue.records import JobState
from fallow_testbed.host import Host
from fallow_testbed.testbed import Testbed

PAYLOADS = Path(__file__).with_name("payloads")
CENTRE = "birch"
NODE = "birch-1"


def payload(name: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """The specification of a job that runs one of the payloads."""
    argv = ("python3", f"{name}.py", *arguments)
    return {"argv": argv, "input_files": (PAYLOADS / f"{name}.py",), "centre": CENTRE, **more}


@contextmanager
def planted(node: Host) -> Iterator[None]:
    """Secrets of the pilot's account, where a pilot may leave one: files, an environment, an open file."""
    secret = f"fallow-canary-{secrets.token_hex(16)}"
    places = ["/home/pilot/canary", "/home/pilot/state/canary", "/scratch/canary", "/tmp/canary"]
    for place in places:
        node.run(["sh", "-c", 'umask 077; cat >"$0"', place], user="pilot", stdin=secret + "\n")
    holder = ["sh", "-c", "exec 3</home/pilot/canary; echo $$ >/tmp/canary.pid; exec sleep 600"]
    node.spawn(holder, user="pilot", env={"CANARY": secret}, log="/var/log/fallow/canary.log")
    yield
    node.run(["sh", "-c", 'kill "$(cat /tmp/canary.pid)"; rm -f /tmp/canary.pid "$@"', "sh", *places])


@pytest.fixture(scope="module")
def canaries(bed: Testbed) -> Iterator[None]:
    """Secrets on the node."""
    with planted(bed.host(NODE)):
        yield


@pytest.fixture(scope="module")
def outcomes(canaries: None, jobs: Callable[..., Any]) -> dict[str, Any]:
    """Every payload of this module, run at one centre at the same time."""
    binds = {
        "APPTAINER_BIND": "/home,/scratch,/tmp",
        "APPTAINER_BINDPATH": "/home,/scratch,/tmp",
        "SINGULARITY_BINDPATH": "/home,/scratch,/tmp",
        "APPTAINER_MOUNT": "type=bind,source=/home,destination=/home",
        "APPTAINER_NO_PID": "1",
        "APPTAINERENV_APPTAINER_BIND": "/home",
    }
    found: dict[str, Any] = jobs(
        "bob",
        {
            "search": payload("search"),
            "search-with-binds": payload("search", environment=binds),
            "control": payload("search", environment={"OWN": f"fallow-canary-{secrets.token_hex(4)}"}),
            "kill": payload("kill"),
            "neighbour": {"argv": ("sleep", "8"), "centre": CENTRE},
            "memory": payload("bounds", "memory"),
            "processes": payload("bounds", "processes"),
            "file": payload("bounds", "file"),
            "files": payload("bounds", "files"),
        },
    )
    return found


@pytest.mark.parametrize("name", ["search", "search-with-binds"])
def test_a_payload_that_searches_everywhere_finds_no_secret(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name].record.succeeded, outcomes[name]
    said = json.loads(outcomes[name].stdout)
    assert said["found"] == []
    for kind in ("file", "environment", "environ", "fd", "cmdline", "mountinfo"):
        assert said["looked"][kind] > 0, "it looked there"


def test_the_search_would_find_a_secret(outcomes: dict[str, Any]) -> None:
    found = json.loads(outcomes["control"].stdout)["found"]
    assert {line.split()[0] for line in found} >= {"environment", "environ"}


def test_a_payload_sees_its_own_processes_only(outcomes: dict[str, Any]) -> None:
    assert len(json.loads(outcomes["search"].stdout)["pids"]) <= 4


def test_a_payload_that_kills_all_it_can_reaches_only_itself(outcomes: dict[str, Any]) -> None:
    assert outcomes["kill"].stdout == "alive\n"
    assert outcomes["neighbour"].record.succeeded
    assert outcomes["neighbour"].record.starts == 1


def most_mib(outcome: Any, subcode: int, reason: str, per_mib: int) -> int:
    """What a payload had at most: what it says itself, or what its pilot held it for.

    The pilot looks now and then, and holds whom it finds above its slot's bounds; a payload may be through before.
    """
    if outcome.record.state is JobState.HELD:
        used = re.search(reason, outcome.record.reason)
        assert used, outcome
        assert outcome.record.hold_subcode == subcode
        return int(used[1]) // per_mib
    assert outcome.record.succeeded, outcome
    return int(outcome.stdout)


def test_memory_beyond_the_slots_is_not_had(outcomes: dict[str, Any]) -> None:
    reason = r"The job used (\d+) MB and had asked for 512 MB"
    assert most_mib(outcomes["memory"], 102, reason, per_mib=1) < 2 * 512 + 64


def test_processes_are_bounded(outcomes: dict[str, Any]) -> None:
    said = outcomes["processes"]
    assert said.record.succeeded, said
    assert int(said.stdout) < 2000


def test_a_file_larger_than_the_slots_disk_is_cut_off(outcomes: dict[str, Any]) -> None:
    reason = r"The job used (\d+) KiB of disk and had asked for 262144 KiB"
    assert most_mib(outcomes["file"], 104, reason, per_mib=1024) <= 2 * 256


def test_many_files_larger_than_the_slots_disk_are_noticed(outcomes: dict[str, Any]) -> None:
    held = outcomes["files"].record
    assert held.state is JobState.HELD
    assert "KiB of disk and had asked for 262144 KiB" in held.reason
